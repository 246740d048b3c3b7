import { afterEach, beforeEach, expect, test, vi } from 'vitest';

// What there is of a browser here.
const store = new Map<string, string>();
vi.stubGlobal('sessionStorage', {
  getItem: (key: string) => store.get(key) ?? null,
  setItem: (key: string, value: string) => store.set(key, value),
  removeItem: (key: string) => store.delete(key),
});
const page = Object.assign(new EventTarget(), { hidden: false });
vi.stubGlobal('document', page);

const { follow } = await import('../../src/api/follow');
const { show, token, isAsked } = await import('../../src/api/session');

let asked: Headers[] = [];

/** Answers one request after the other; then with nothing, for ever. */
function answer(...answers: (string | Response)[]): void {
  asked = [];
  vi.stubGlobal('fetch', (_target: string, { headers }: { headers: Headers }) => {
    asked.push(headers);
    const next = answers.shift();
    if (next === undefined) return new Promise(() => {});
    return Promise.resolve(next instanceof Response ? next : new Response(next));
  });
}

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

test('a stream that was cut off goes on where it was, with the token', async () => {
  show('t-ann');
  answer('id: 4\nevent: entry\ndata: a\n\n', 'id: 5\nevent: entry\ndata: b\n\n');
  const told: string[] = [];
  const end = follow('/v1/events', { onMessage: (it) => told.push(it.data) });
  await vi.waitFor(() => expect(asked.length).toBe(3), { timeout: 10_000 });
  end();
  expect(told).toEqual(['a', 'b']);
  expect(asked.map((it) => it.get('last-event-id'))).toEqual([null, '4', '5']);
  expect(asked.every((it) => it.get('authorization') === 'Bearer t-ann')).toBe(true);
});

test('what is refused is not asked again, and a token that is not taken is forgotten', async () => {
  show('t-mallory');
  const body = JSON.stringify({ error: { code: 'unauthenticated', message: 'the token is none that is known here' } });
  answer(new Response(body, { status: 401 }));
  const links: string[] = [];
  const end = follow('/v1/events', { onMessage: () => {}, onLink: (it) => links.push(it) });
  await vi.waitFor(() => expect(links).toEqual(['connecting', 'lost']));
  await vi.advanceTimersByTimeAsync(60_000);
  end();
  expect([asked.length, token.value, isAsked.value]).toEqual([1, undefined, true]);
});

test('a page that nobody sees follows nothing', async () => {
  page.hidden = true;
  answer('data: a\n\n');
  const end = follow('/v1/events', { onMessage: () => {} });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked.length).toBe(0);
  page.hidden = false;
  page.dispatchEvent(new Event('visibilitychange'));
  await vi.waitFor(() => expect(asked.length).toBe(1));
  end();
});
