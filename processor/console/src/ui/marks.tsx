// Marks of how something stands. Each has a shape of its own: colours alone say nothing to some.
import type { ComponentChildren } from 'preact';
import { words } from '../model/format';

const SHAPES: Record<string, ComponentChildren> = {
  running: (
    <>
      <circle cx="8" cy="8" r="5.5" class="faint" />
      <path d="M8 2.5a5.5 5.5 0 0 1 5.5 5.5" class="turning" />
    </>
  ),
  waiting: (
    <>
      <circle cx="8" cy="8" r="5.5" />
      <path d="M8 5v3.2l2.1 1.3" />
    </>
  ),
  suspended: <path d="M5.5 3.5v9M10.5 3.5v9" class="thick" />,
  incident: <path d="M8 2.3 14.3 13.3H1.7ZM8 6.5v3.1M8 11.4v.1" />,
  halted: <path d="M8 2.3 14.3 13.3H1.7ZM8 6.5v3.1M8 11.4v.1" />,
  completed: (
    <>
      <circle cx="8" cy="8" r="5.5" />
      <path d="m5.5 8.2 1.8 1.8 3.3-3.7" />
    </>
  ),
  faulted: (
    <>
      <circle cx="8" cy="8" r="5.5" />
      <path d="m6 6 4 4M10 6l-4 4" />
    </>
  ),
  cancelled: (
    <>
      <circle cx="8" cy="8" r="5.5" />
      <path d="m4.2 11.8 7.6-7.6" />
    </>
  ),
  skipped: <path d="M3 4.5 7 8l-4 3.5zM8 4.5 12 8l-4 3.5zM13.5 4.5v7" />,
  untouched: <circle cx="8" cy="8" r="5" stroke-dasharray="2 2.5" />,
};

export function Mark({ of, size = 16 }: { of: string; size?: number }) {
  return (
    <svg class={`mark is-${of}`} width={size} height={size} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      {SHAPES[of] ?? SHAPES.untouched}
    </svg>
  );
}

const LOOKS: Record<string, string> = {
  active: 'completed',
  restoring: 'running',
  failed: 'faulted',
  paused: 'suspended',
  retired: 'cancelled',
  pending: 'waiting',
  unknown: 'untouched',
};

/** How an instance, a partition or a schedule stands. */
export function Status({ of }: { of: string }) {
  const look = LOOKS[of] ?? of;
  return (
    <span class={`status is-${look}`}>
      <Mark of={look} />
      {words(of)}
    </span>
  );
}
