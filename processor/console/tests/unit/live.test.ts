import { expect, test } from 'vitest';
import type { NodeState } from '../../src/api/types';
import { asTold, statusAfter } from '../../src/model/live';
import { lookOf, taken, wordsOf } from '../../src/model/node-look';

test('the last event that says how it stands counts', () => {
  const after = (...types: string[]) => statusAfter({ events: types.map((type) => ({ type })) });
  expect(after('instance_started', 'task_started')).toBe('running');
  expect(after('instance_resumed', 'task_faulted', 'incident_raised')).toBe('incident');
  expect(after('task_completed')).toBeUndefined();
});

test('a row shows what was told since it was written, and nothing older', () => {
  const row = { id: 'a', status: 'running', updated_at: '2026-01-31T12:00:00.5Z' };
  const told = (at: string) => new Map([['a', { status: 'completed' as const, at }]]);
  expect(asTold(row, told('2026-01-31T12:00:01Z')).status).toBe('completed');
  expect(asTold(row, told('2026-01-31T12:00:00Z')).status).toBe('running');
  expect(asTold(row, new Map())).toBe(row);
});

test('how a task stands is said in words', () => {
  const nothing = { open: 0, entered: 1, completed: 0, faulted: 0, cancelled: 0, skipped: 0, compensated: 0 };
  const state = (status: string, more = {}) => ({ ...nothing, status, ...more });
  expect(lookOf(state('active', { activity: 'listening' }))).toBe('waiting');
  expect(lookOf(state('active', { activity: 'call' }))).toBe('running');
  expect(lookOf(undefined)).toBe('untouched');
  expect(wordsOf(state('active', { activity: 'backing_off' }))).toBe('waits to try again');
  expect(wordsOf(state('completed', { entered: 3, compensated: 1 }))).toBe('done, 3 times, undone');
  expect(wordsOf(state('skipped'))).toBe('left out');
});

test('of several ways out, the flow has taken the one to what was entered first', () => {
  const nothing = { open: 0, entered: 1, completed: 1, faulted: 0, cancelled: 0, skipped: 0, compensated: 0 };
  const at = (second: number) => ({ ...nothing, status: 'completed', entered_at: `2026-01-31T12:00:0${second}Z` });
  const states = new Map<string, NodeState>([
    ['start', { ...nothing, status: 'completed' }],
    ['choice', at(1)],
    ['long', at(2)],
    ['last', at(3)],
    ['never', { ...nothing, status: 'untouched' }],
    ['end', { ...nothing, status: 'completed' }],
  ]);
  const ways = [
    'start choice',
    'choice long',
    'choice last',
    'choice never',
    'long last',
    'never last',
    'last end',
  ].map((it) => {
    const [from, to] = it.split(' ') as [string, string];
    return { from, to };
  });
  const told = [...taken(ways, states)].map((it) => `${it.from} ${it.to}`);
  expect(told).toEqual(['start choice', 'choice long', 'long last', 'last end']);
});
