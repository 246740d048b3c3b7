// The lines of a batch, which has ended well only if its last line says so.
import { Failure } from './failure';
import type { BatchLine } from './types';

/** As they come. What has ended early is a `Failure`, in the API's words where it had some left. */
export async function* batchLines(lines: AsyncIterable<BatchLine>): AsyncGenerator<BatchLine> {
  let isOver = false;
  for await (const line of lines) {
    if (line.type === 'end') {
      if (line.error) throw new Failure(line.error.message, 0, line.error.code);
      isOver = true;
    }
    yield line;
  }
  if (!isOver) throw new Failure('The answer was cut off: what is not listed may be done or not.', 0, 'cut_off');
}
