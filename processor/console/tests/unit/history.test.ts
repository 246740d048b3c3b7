import { expect, test } from 'vitest';
import { Executions } from '../../src/model/history';
import { brief, parse } from '../../src/model/json';

function lines(...events: { type: string; [field: string]: unknown }[]) {
  return new Executions().lines({ stamp: 1, at: '2026-01-31T12:00:00Z', cause: { source: '/a', id: '1' }, events });
}

test('what is told of an execution by its number is of its task', () => {
  const [, ended] = lines(
    { type: 'task_started', execution: 3, task: '/do/0/charge', activity: { type: 'call' } },
    { type: 'task_completed', execution: 3, output: { charged: 5 } },
  );
  expect(ended).toMatchObject({ task: '/do/0/charge', about: 'charge', detail: '{"charged":5}', isBad: false });
});

test('what went wrong says so', () => {
  const [line] = lines({ type: 'task_faulted', task: '/do/0/charge', error: { title: 'Refused', detail: 'no money' } });
  expect(line).toMatchObject({ about: 'charge', detail: 'no money', isBad: true });
});

test('wrong JSON is explained', () => {
  expect(parse('{"a": 1}')).toEqual({ value: { a: 1 } });
  expect(parse('')).toEqual({ error: 'Write JSON here, such as {}.' });
  expect(parse('{a}')).toHaveProperty('error', expect.stringContaining('This is not JSON'));
  expect(brief({ text: 'x'.repeat(100) }, 20)).toHaveLength(20);
});
