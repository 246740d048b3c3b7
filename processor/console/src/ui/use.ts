// What views ask for: data that is loaded, loaded again, and followed.
import { type ComponentChildren, h } from 'preact';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { get } from '../api/client';
import { asFailure, type Failure } from '../api/failure';
import { type Follower, follow, type Link } from '../api/follow';
import { token } from '../api/session';
import { Wrong } from './parts';

export interface Loaded<T> {
  data?: T;
  /** Of the last try; what was there before stays. */
  failure?: Failure;
  isLoading: boolean;
  /** Loads again. Several at once become one, and one more behind it. */
  again: () => void;
}

/** What the API has at `target`; nothing is asked while there is none. */
export function useLoaded<T>(target: string | undefined): Loaded<T> {
  const [state, setState] = useState<{ target?: string; data?: T; failure?: Failure; isLoading: boolean }>({
    isLoading: target !== undefined,
  });
  const running = useRef<{ controller: AbortController; isAskedAgain: boolean }>();
  const shown = token.value;

  const again = useCallback(() => {
    if (target === undefined) return;
    if (running.current) {
      running.current.isAskedAgain = true;
      return;
    }
    const own = { controller: new AbortController(), isAskedAgain: false };
    running.current = own;
    setState((it) => ({ ...it, isLoading: true }));
    const finish = (news: { data?: T; failure?: Failure }) => {
      if (running.current !== own) return;
      running.current = undefined;
      setState((it) => ({
        target,
        data: news.data ?? (it.target === target ? it.data : undefined),
        failure: news.failure,
        isLoading: own.isAskedAgain,
      }));
      if (own.isAskedAgain) again();
    };
    get<T>(target, own.controller.signal).then(
      (data) => finish({ data }),
      (thrown) => {
        if (!own.controller.signal.aborted) finish({ failure: asFailure(thrown) });
      },
    );
  }, [target]);

  // Another caller may see something else.
  // A new token is a reason to ask again.
  useEffect(() => {
    again();
    return () => {
      running.current?.controller.abort();
      running.current = undefined;
    };
  }, [again, shown]);

  // What belongs to another address is not shown for this one.
  const isOwn = state.target === target;
  return {
    data: isOwn ? state.data : undefined,
    failure: isOwn ? state.failure : undefined,
    isLoading: isOwn ? state.isLoading : target !== undefined,
    again,
  };
}

/** Follows a stream while the view is there; nothing while there is no target. */
export function useFollowed(target: string | undefined, follower: Follower): Link {
  const [link, setLink] = useState<Link>('connecting');
  const latest = useRef(follower);
  latest.current = follower;
  const shown = token.value;
  // A new token is a reason to ask again.
  useEffect(() => {
    if (target === undefined) return;
    return follow(target, {
      onMessage: (it) => latest.current.onMessage(it),
      onOpen: () => latest.current.onOpen?.(),
      onLink: setLink,
    });
  }, [target, shown]);
  return link;
}

/** Calls soon, and once for all that came meanwhile. */
export function useSoon(act: () => void, delayMs: number): () => void {
  const timer = useRef<ReturnType<typeof setTimeout>>();
  const latest = useRef(act);
  latest.current = act;
  useEffect(() => () => clearTimeout(timer.current), []);
  return useCallback(() => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      latest.current();
    }, delayMs);
  }, [delayMs]);
}

/** Again and again while the view is there and seen. */
export function useEvery(act: () => void, everyMs: number): void {
  const latest = useRef(act);
  latest.current = act;
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) latest.current();
    }, everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Millrace`;
  }, [title]);
}

/** Something that is done by one button: whether it is at it, why it went wrong, and how to begin. */
export function useBusy(): [boolean, ComponentChildren, (work: () => Promise<void>) => void] {
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const run = (work: () => Promise<void>) => {
    if (isBusy) return;
    setBusy(true);
    setFailure(undefined);
    work()
      .catch((thrown: unknown) => setFailure(asFailure(thrown)))
      .finally(() => setBusy(false));
  };
  return [isBusy, failure && h(Wrong, { failure }), run];
}
