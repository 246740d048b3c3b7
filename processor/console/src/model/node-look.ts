// How a task is shown as it stands: by a mark and words, and only then by a colour.
import type { NodeState } from '../api/types';
import { counted } from './format';

export type Look = 'untouched' | 'running' | 'waiting' | 'halted' | 'completed' | 'faulted' | 'cancelled' | 'skipped';

/** What an open task waits for by itself; no worker is at it. */
const WAITING = new Set(['waiting', 'listening', 'gathering', 'backing_off']);

export function lookOf(state: NodeState | undefined): Look {
  if (!state) return 'untouched';
  if (state.status === 'active') return WAITING.has(state.activity ?? '') ? 'waiting' : 'running';
  return state.status as Look;
}

const WORDS: Record<Look, string> = {
  untouched: 'not run',
  running: 'running',
  waiting: 'waiting',
  halted: 'failed, needs you',
  completed: 'done',
  faulted: 'failed',
  cancelled: 'cancelled',
  skipped: 'left out',
};

const ACTIVITY: Record<string, string> = {
  waiting: 'waits for a time',
  listening: 'waits for an event',
  gathering: 'gathers events',
  backing_off: 'waits to try again',
  catching: 'handles an error',
  compensating: 'is undone',
};

/** In words, for whoever sees no picture, and for the line under the name. */
export function wordsOf(state: NodeState | undefined): string {
  const look = lookOf(state);
  const words = (look === 'running' || look === 'waiting' ? ACTIVITY[state?.activity ?? ''] : undefined) ?? WORDS[look];
  if (!state) return words;
  const times = state.entered > 1 ? `, ${counted(state.entered, 'time')}` : '';
  const undone = state.compensated > 0 ? ', undone' : '';
  return words + times + undone;
}

/** Which of the ways out of a node the flow has taken, as far as one can tell: to what was entered first of where they lead. */
export function taken<W extends { from: string; to: string }>(
  ways: readonly W[],
  states: ReadonlyMap<string, NodeState | undefined>,
): Set<W> {
  const isReached = (id: string) => (states.get(id)?.status ?? 'untouched') !== 'untouched';
  // The end is entered last; what is inside of nothing that tells a time comes before.
  const enteredAt = (id: string) => Date.parse(states.get(id)?.entered_at ?? '') || Number.POSITIVE_INFINITY;
  const taken = new Set<W>();
  for (const from of new Set(ways.map((it) => it.from))) {
    if (!isReached(from)) continue;
    const reached = ways.filter((it) => it.from === from && isReached(it.to));
    const first = Math.min(...reached.map((it) => enteredAt(it.to)));
    for (const way of reached) if (enteredAt(way.to) === first) taken.add(way);
  }
  return taken;
}
