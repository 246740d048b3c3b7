import { signal } from '@preact/signals';

/** The time, by the second: for what says how long ago something was. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1_000);
