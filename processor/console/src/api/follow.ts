// Follows a stream of the API: reads it by `fetch`, comes back when it was cut off, and goes on where it was.
import { ask, texts } from './client';
import { asFailure, type Failure } from './failure';
import { type Message, Parser } from './sse';

export type Link = 'connecting' | 'live' | 'lost';

export interface Follower {
  onMessage(message: Message): void;
  onLink?(link: Link, why?: Failure): void;
  /** The stream has begun, for the first time or again. What is asked for from now on is not older than it. */
  onOpen?(): void;
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

/** Begins to follow; what is given back ends it. A page that nobody sees follows nothing: a browser opens few connections to one place. */
export function follow(target: string, follower: Follower): () => void {
  let isEnded = false;
  let running: AbortController | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let pause = FIRST_PAUSE_MS;
  const parser = { last: '' };

  async function run(controller: AbortController): Promise<void> {
    try {
      const headers: Record<string, string> = { accept: 'text/event-stream' };
      if (parser.last !== '') headers['last-event-id'] = parser.last;
      const response = await ask(target, { headers, signal: controller.signal });
      follower.onLink?.('live');
      follower.onOpen?.();
      pause = FIRST_PAUSE_MS;
      const reading = new Parser();
      reading.lastId = parser.last;
      for await (const text of texts(response.body!)) {
        for (const message of reading.push(text)) if (!controller.signal.aborted) follower.onMessage(message);
        parser.last = reading.lastId;
      }
      // It ends after an hour, and when the processor does.
      again(controller);
    } catch (thrown) {
      if (controller.signal.aborted) return;
      const failure = asFailure(thrown);
      // A stream that is cut off has failed in the browser's words, which help nobody.
      follower.onLink?.('lost', failure.code === 'page' ? undefined : failure);
      // What was refused is refused again, unless too much was asked for.
      const isFinal = failure.status >= 400 && failure.status < 500 && failure.status !== 429;
      if (!isFinal) again(controller);
    }
  }

  function again(controller: AbortController): void {
    if (isEnded || controller.signal.aborted) return;
    timer = setTimeout(begin, pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }

  function begin(): void {
    stop();
    if (isEnded || document.hidden) return;
    running = new AbortController();
    follower.onLink?.('connecting');
    void run(running);
  }

  function stop(): void {
    clearTimeout(timer);
    running?.abort();
    running = undefined;
  }

  const seen = () => (document.hidden ? stop() : begin());
  document.addEventListener('visibilitychange', seen);
  begin();
  return () => {
    isEnded = true;
    document.removeEventListener('visibilitychange', seen);
    stop();
  };
}
