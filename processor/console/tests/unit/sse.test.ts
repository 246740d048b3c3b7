import { expect, test } from 'vitest';
import { type Message, Parser } from '../../src/api/sse';

function parsed(...pieces: string[]): { messages: Message[]; lastId: string } {
  const parser = new Parser();
  return { messages: pieces.flatMap((it) => parser.push(it)), lastId: parser.lastId };
}

const STREAM = ': hello\n\nid: 7\nevent: entry\ndata: {"a":\ndata: 1}\n\ndata:x\r\n\r\nid: 8\n\n';

test('a stream is messages, with their names, and the id of the last one', () => {
  expect(parsed(STREAM)).toEqual({
    messages: [
      { event: 'entry', data: '{"a":\n1}' },
      { event: 'message', data: 'x' },
    ],
    lastId: '8',
  });
});

test('pieces of any size are the same stream', () => {
  for (let size = 1; size < STREAM.length; size += 1) {
    const pieces = STREAM.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? [];
    expect(parsed(...pieces), `pieces of ${size}`).toEqual(parsed(STREAM));
  }
});

test('CR alone ends a line, and CR and LF in two pieces end one', () => {
  expect(parsed('data: a\r', '\n', '\r\n').messages).toEqual([{ event: 'message', data: 'a' }]);
  expect(parsed('data: a\rdata: b\r\r').messages).toEqual([{ event: 'message', data: 'a\nb' }]);
});

test('what has not ended is no message, and neither is one without data', () => {
  expect(parsed('event: entry\n\ndata: half').messages).toEqual([]);
});

test('a stream that is cut off in a message goes on with that message', () => {
  expect(parsed('id: 7\ndata: a\n\nid: 8\ndata: half').lastId).toBe('7');
});

test('an id stays until there is another', () => {
  const parser = new Parser();
  parser.lastId = '7';
  parser.push('data: a\n\n');
  expect(parser.lastId).toBe('7');
});
