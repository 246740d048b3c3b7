// What has been done, told for a while; and to whoever listens to the page.
import { signal } from '@preact/signals';

interface Said {
  id: number;
  text: string;
}

const LASTS_MS = 6_000;
const said = signal<Said[]>([]);
let last = 0;

export function say(text: string): void {
  last += 1;
  const id = last;
  said.value = [...said.value.slice(-2), { id, text }];
  setTimeout(() => {
    said.value = said.value.filter((it) => it.id !== id);
  }, LASTS_MS);
}

export function SaidList() {
  return (
    <output class="said" aria-live="polite">
      {said.value.map((it) => (
        <span key={it.id}>{it.text}</span>
      ))}
    </output>
  );
}
