// Requests to the API of the place the page is from. Nothing is asked of anybody else.
import { Failure, failureOf, unreachable } from './failure';
import { forget, token } from './session';

type Query = Record<string, string | number | boolean | undefined | readonly string[]>;

/** A path of the API. Segments are escaped: ids hold whatever their makers like. */
export function path(segments: readonly string[], query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === '') continue;
    for (const one of Array.isArray(value) ? value : [value]) parameters.append(name, String(one));
  }
  const text = parameters.toString();
  return `/v1/${segments.map(encodeURIComponent).join('/')}${text === '' ? '' : `?${text}`}`;
}

/** Sends a request as the caller. What is refused is a `Failure`. */
export async function ask(target: string, request: RequestInit = {}): Promise<Response> {
  const headers = new Headers(request.headers);
  const shown = token.value;
  if (shown !== undefined) headers.set('authorization', `Bearer ${shown}`);
  let response: Response;
  try {
    response = await fetch(target, { ...request, headers });
  } catch (error) {
    if (request.signal?.aborted) throw error;
    throw unreachable();
  }
  if (response.ok) return response;
  const failure = await failureOf(response);
  // Another token may have been shown meanwhile: that one is not to blame.
  if (failure.isUnknownCaller && token.value === shown) forget(shown === undefined ? undefined : failure.message);
  throw failure;
}

export async function get<T>(target: string, signal?: AbortSignal): Promise<T> {
  return (await ask(target, { signal, headers: { accept: 'application/json' } })).json() as Promise<T>;
}

export async function post<T>(target: string, body?: unknown): Promise<T> {
  const request: RequestInit = { method: 'POST', headers: { accept: 'application/json' } };
  if (body !== undefined) {
    request.headers = { ...request.headers, 'content-type': 'application/json' };
    request.body = JSON.stringify(body);
  }
  return (await ask(target, request)).json() as Promise<T>;
}

/** The text of a definition. */
export async function deploy<T>(text: string, check: boolean): Promise<T> {
  const target = path(['definitions'], { check: check || undefined });
  const headers = { 'content-type': 'application/yaml', accept: 'application/json' };
  return (await ask(target, { method: 'POST', headers, body: text })).json() as Promise<T>;
}

/** The lines of an answer as they come (JSON lines). */
export async function* lines<T>(target: string, body: unknown, signal?: AbortSignal): AsyncGenerator<T> {
  const headers = { 'content-type': 'application/json' };
  const response = await ask(target, { method: 'POST', headers, body: JSON.stringify(body), signal });
  if (!response.body) return;
  let rest = '';
  for await (const text of texts(response.body)) {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    for (const line of parts) if (line.trim() !== '') yield JSON.parse(line) as T;
  }
  if (rest.trim() !== '') throw new Failure('The answer was cut off.', 0, 'cut_off');
}

/** What comes, as text. Not every browser can go through a stream by itself. */
export async function* texts(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield decoder.decode(value, { stream: true });
    }
  } finally {
    reader.releaseLock();
  }
}
