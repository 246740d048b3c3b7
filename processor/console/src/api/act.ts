// Commands to instances. Each waits until it is accepted, or refused for a reason.
import { path, post } from './client';
import { mayWrite } from './session';
import type { Command } from './types';

export function act(id: string, verb: string, body: Record<string, unknown> = {}): Promise<Command> {
  return post<Command>(path(['instances', id, verb], { wait: 'accepted' }), withoutEmpty(body));
}

/** A text that nobody has written says nothing. */
function withoutEmpty(body: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined && value !== ''));
}

/** Why a button is of no use, if it is not. */
export function whyNotWrite(): string | undefined {
  return mayWrite.value ? undefined : 'This takes the role write';
}

/** The same with many, a few at a time; none is begun after the signal. */
export async function each<T>(
  items: readonly T[],
  run: (item: T) => Promise<void>,
  signal: AbortSignal,
  sideBySide = 4,
): Promise<void> {
  const rest = [...items];
  const worker = async () => {
    for (let item = rest.shift(); item !== undefined && !signal.aborted; item = rest.shift()) await run(item);
  };
  await Promise.all(Array.from({ length: Math.min(sideBySide, items.length) }, worker));
}
