// Times, durations and numbers for people.

const UNITS: [string, number][] = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
];

/** `12 ms`, `3.4 s`, `2 min 5 s`, `3 h 2 min`, `5 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.floor(ms / 1_000);
  const at = UNITS.findIndex(([, unit]) => seconds >= unit);
  const [name, unit] = UNITS[at]!;
  const [restName, restUnit] = UNITS[at + 1] ?? ['s', 1];
  const rest = Math.floor((seconds % unit) / restUnit);
  return `${Math.floor(seconds / unit)} ${name}${rest > 0 ? ` ${rest} ${restName}` : ''}`;
}

/** `3 s ago`, `in 5 min`; whole units, for they are read at a glance. */
export function ago(time: number, now: number): string {
  const seconds = Math.round(Math.abs(now - time) / 1_000);
  if (seconds < 1) return 'now';
  const [name, unit] = UNITS.find(([, it]) => seconds >= it) ?? ['s', 1];
  const text = `${Math.floor(seconds / unit)} ${name}`;
  return time > now ? `in ${text}` : `${text} ago`;
}

const two = (value: number) => String(value).padStart(2, '0');

/** `2026-01-31 14:05:09`, local. */
export function dateTime(text: string): string {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return text;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(text)}`;
}

/** `14:05:09`, local; with thousandths if they are asked for. */
export function clock(text: string, withMillis = false): string {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return text;
  const seconds = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return withMillis ? `${seconds}.${String(at.getMilliseconds()).padStart(3, '0')}` : seconds;
}

const NUMBER = new Intl.NumberFormat('en-GB');

export function number(value: number): string {
  return NUMBER.format(value);
}

/** `task_completed` → `Task completed` */
export function words(name: string): string {
  const text = name.replaceAll('_', ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** `1 instance`, `2 instances` */
export function counted(count: number, noun: string): string {
  return `${number(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** The last part of a JSON pointer, by which people know a task: `/do/2/charge` → `charge`. */
export function taskName(pointer: string): string {
  const last = pointer.split('/').at(-1) ?? pointer;
  return last.replaceAll('~1', '/').replaceAll('~0', '~') || pointer;
}
