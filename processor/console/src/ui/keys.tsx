// Keys that do something anywhere on the page, but where somebody writes.
import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { Dialog } from './dialog';
import { go } from './router';

export const isHelpOpen = signal(false);

const PLACES: Record<string, [string, string]> = {
  i: ['instances', 'Instances'],
  n: ['incidents', 'Incidents'],
  d: ['definitions', 'Definitions'],
  f: ['fleet', 'Fleet'],
  l: ['dead-letters', 'Dead letters'],
};

function isWriting(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

export function useKeys(): void {
  useEffect(() => {
    let isGoing = false;
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isWriting(event.target)) return;
      if (document.querySelector('dialog[open]')) return;
      const place = isGoing ? PLACES[event.key] : undefined;
      isGoing = event.key === 'g';
      if (place) go([place[0]]);
      else if (event.key === '?') isHelpOpen.value = true;
      else if (event.key === '/') search();
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, []);
}

/** Where the page is searched: a field of the view, or the list of instances. */
function search(): void {
  const field = document.querySelector<HTMLElement>('[data-search]');
  if (field) {
    field.focus();
    return;
  }
  go(['instances']);
  requestAnimationFrame(() =>
    requestAnimationFrame(() => document.querySelector<HTMLElement>('[data-search]')?.focus()),
  );
}

export function Help() {
  if (!isHelpOpen.value) return null;
  const close = () => {
    isHelpOpen.value = false;
  };
  return (
    <Dialog title="Keys" onClose={close}>
      <table class="keys">
        <tbody>
          <Key keys={['/']} does="Search" />
          {Object.entries(PLACES).map(([key, [, name]]) => (
            <Key key={key} keys={['g', key]} does={`Go to ${name}`} />
          ))}
          <Key keys={['Tab']} does="Next link, button or field; Shift Tab for the one before" />
          <Key keys={['Enter']} does="Open a link, press a button" />
          <Key keys={['Space']} does="Press a button, choose a row" />
          <Key keys={['Esc']} does="Close a dialog" />
          <Key keys={['?']} does="These keys" />
        </tbody>
      </table>
    </Dialog>
  );
}

function Key({ keys, does }: { keys: string[]; does: string }) {
  return (
    <tr>
      <th scope="row">
        {keys.map((it, index) => (
          <>
            {index > 0 && ' then '}
            <kbd>{it}</kbd>
          </>
        ))}
      </th>
      <td>{does}</td>
    </tr>
  );
}
