// Deploys a definition, or says what is wrong with it, and where.
import { useRef, useState } from 'preact/hooks';
import { deploy } from '../api/client';
import { asFailure, type Failure } from '../api/failure';
import { mayAdminister } from '../api/session';
import type { Deployed, Finding } from '../api/types';
import { counted } from '../model/format';
import { Dialog } from '../ui/dialog';
import { Mark } from '../ui/marks';
import { Button, Field, Wrong } from '../ui/parts';
import { go } from '../ui/router';
import { say } from '../ui/said';

export function Deploy({
  onClose,
  onDone,
  initial = '',
}: {
  onClose: () => void;
  onDone: () => void;
  initial?: string;
}) {
  const [text, setText] = useState(initial);
  const [busy, setBusy] = useState<'check' | 'deploy'>();
  const [failure, setFailure] = useState<Failure>();
  const [checked, setChecked] = useState<Deployed>();
  const area = useRef<HTMLTextAreaElement>(null);
  const isEmpty = text.trim() === '';

  const change = (news: string) => {
    setText(news);
    setFailure(undefined);
    setChecked(undefined);
  };
  const send = async (how: 'check' | 'deploy') => {
    setBusy(how);
    setFailure(undefined);
    setChecked(undefined);
    try {
      const view = await deploy<Deployed>(text, how === 'check');
      if (how === 'check') {
        setChecked(view);
      } else {
        const { workflow, outcome } = view.deployed;
        say(outcome === 'unchanged' ? `${workflow} was there already, the same` : `${workflow} is deployed`);
        onDone();
        onClose();
        go(['definitions', ...workflow.split('/')]);
      }
    } catch (thrown) {
      setFailure(asFailure(thrown));
    } finally {
      setBusy(undefined);
    }
  };
  /** Chooses the place of a finding in the text. */
  const show = ({ line, column }: Finding) => {
    const lines = text.split('\n');
    const start = lines.slice(0, line - 1).reduce((sum, it) => sum + it.length + 1, 0);
    const end = start + (lines[line - 1]?.length ?? 0);
    const element = area.current;
    if (!element) return;
    element.focus();
    element.setSelectionRange(Math.min(start + column - 1, end), end);
    element.scrollTop = Math.max(0, line - 4) * Number.parseFloat(getComputedStyle(element).lineHeight);
  };
  const findings = failure?.findings ?? checked?.findings ?? [];
  return (
    <Dialog title={mayAdminister.value ? 'Deploy a definition' : 'Check a definition'} onClose={onClose} wide>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!isEmpty) void send(mayAdminister.value ? 'deploy' : 'check');
        }}
      >
        <Field
          label="File"
          hint="Or write it below. What it refers to elsewhere is not fetched here; millrace deploy does that."
        >
          {(props) => (
            <input
              {...props}
              type="file"
              accept=".yaml,.yml,.json"
              onChange={(event) => {
                const file = event.currentTarget.files?.[0];
                if (file) void file.text().then(change);
              }}
            />
          )}
        </Field>
        <Field label="Definition">
          {(props) => (
            <textarea
              {...props}
              ref={area}
              class="code"
              rows={16}
              spellcheck={false}
              autocomplete="off"
              placeholder="document: { dsl: '1.0.3', namespace: my, name: hello, version: '1.0.0' }"
              value={text}
              onInput={(event) => change(event.currentTarget.value)}
            />
          )}
        </Field>
        {failure && <Wrong failure={failure} />}
        {checked && (
          <p class="note good" role="status">
            <Mark of="completed" /> {checked.deployed.workflow} can be deployed.
            {checked.findings.length > 0 && ` ${counted(checked.findings.length, 'thing')} to think about:`}
          </p>
        )}
        {findings.length > 0 && (
          <ol class="findings" aria-label="Findings">
            {findings.map((it) => (
              <li key={`${it.line}:${it.column}:${it.message}`}>
                <button
                  type="button"
                  class="link number"
                  onClick={() => show(it)}
                  aria-label={`Line ${it.line}, column ${it.column}: show it in the text`}
                >
                  {it.line}:{it.column}
                </button>
                <div>
                  <p>
                    <b>{it.severity}</b> {it.message}
                  </p>
                  {it.fix && <p class="faint">{it.fix}</p>}
                </div>
              </li>
            ))}
          </ol>
        )}
        <footer>
          <Button onClick={onClose}>Back</Button>
          <Button
            onClick={() => void send('check')}
            isBusy={busy === 'check'}
            why={isEmpty ? 'Choose a file, or write a definition' : undefined}
          >
            Only check
          </Button>
          {mayAdminister.value && (
            <Button
              kind="main"
              type="submit"
              isBusy={busy === 'deploy'}
              why={isEmpty ? 'Choose a file, or write a definition' : undefined}
            >
              Deploy
            </Button>
          )}
        </footer>
      </form>
    </Dialog>
  );
}
