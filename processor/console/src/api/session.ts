// Who asks: the token, which stays in this tab and goes with it, and what it lets do.
import { computed, signal } from '@preact/signals';
import type { Caller, Role } from './types';

const KEY = 'millrace.token';

/** What is shown to the API; nothing where it asks for none. */
export const token = signal<string | undefined>(sessionStorage.getItem(KEY) ?? undefined);

/** Who that is, as the API says; nothing before it has said so. */
export const caller = signal<Caller | undefined>(undefined);

/** Whether somebody has to say who he is before anything can be seen. */
export const isAsked = signal(false);

/** Why the last token was not taken, in the API's words. */
export const refusal = signal<string | undefined>(undefined);

export function show(text: string): void {
  // A header takes nothing else, and so no token has it.
  if (!/^[\x21-\x7e]+$/.test(text)) {
    refusal.value = 'it has a space, a line break or a letter that no token has';
    return;
  }
  sessionStorage.setItem(KEY, text);
  refusal.value = undefined;
  token.value = text;
}

/** The token is none, or none any more. */
export function forget(why?: string): void {
  sessionStorage.removeItem(KEY);
  refusal.value = why;
  caller.value = undefined;
  isAsked.value = true;
  token.value = undefined;
}

const ROLES: Role[] = ['read', 'write', 'admin'];

/** Whether a role lets do what takes `needed`: each lets do what those before it do. */
export function lets(role: string | undefined, needed: Role): boolean {
  return ROLES.indexOf(role as Role) >= ROLES.indexOf(needed);
}

export const mayWrite = computed(() => lets(caller.value?.role, 'write'));
export const mayAdminister = computed(() => lets(caller.value?.role, 'admin'));
