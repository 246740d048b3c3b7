import { expect, test } from 'vitest';
import { batchLines } from '../../src/api/batch';
import type { BatchLine } from '../../src/api/types';

const done = (id: string): BatchLine => ({ type: 'instance', id, outcome: 'accepted', cursor: id });
const end: BatchLine = { type: 'end', instances: 1, accepted: 1, refused: 0, has_more: false };

async function read(...said: BatchLine[]): Promise<string[]> {
  const seen: string[] = [];
  const come = async function* () {
    yield* said;
  };
  for await (const line of batchLines(come())) seen.push(line.type);
  return seen;
}

test('a batch has ended well when its last line says so', async () => {
  expect(await read(done('a'), end)).toEqual(['instance', 'end']);
});

test('one that ends early is a failure, in the words of the API if there are some', async () => {
  await expect(read(done('a'))).rejects.toThrow('cut off');
  await expect(read()).rejects.toThrow('cut off');
  const error = { code: 'unavailable', message: 'this processor stops' } as never;
  await expect(read(done('a'), { ...end, error })).rejects.toThrow('this processor stops');
});
