import { expect, test } from 'vitest';
import { ago, counted, duration, taskName, words } from '../../src/model/format';

test('durations have two units at most', () => {
  const said = [0, 12.4, 3_400, 59_999, 125_000, 10_920_000, 446_400_000].map(duration);
  expect(said).toEqual(['0 ms', '12 ms', '3.4 s', '60.0 s', '2 min 5 s', '3 h 2 min', '5 d 4 h']);
});

test('how long ago is said in one unit', () => {
  const now = Date.parse('2026-01-31T12:00:00Z');
  const said = [0, 3, 61, 7_200, 200_000].map((seconds) => ago(now - seconds * 1_000, now));
  expect(said).toEqual(['now', '3 s ago', '1 min ago', '2 h ago', '2 d ago']);
  expect(ago(now + 5_000, now)).toBe('in 5 s');
});

test('names are for people', () => {
  expect(words('task_completed')).toBe('Task completed');
  expect([counted(1, 'task'), counted(1_200, 'task')]).toEqual(['1 task', '1,200 tasks']);
  expect([taskName('/do/2/charge'), taskName('/do/0/a~1b~0c')]).toEqual(['charge', 'a/b~c']);
});
