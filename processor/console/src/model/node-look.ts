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
  untouched: 'not reached',
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
