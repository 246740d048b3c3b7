// What a list of instances shows, as it is in the page's address: a link to it shows the same.
import type { InstanceStatus } from '../api/types';

export const STATUSES: InstanceStatus[] = ['running', 'suspended', 'incident', 'completed', 'faulted', 'cancelled'];

export interface Filters {
  workflow?: string;
  status?: InstanceStatus;
  /** As a field of date and time gives them: local, to the minute. */
  since?: string;
  until?: string;
  /** `NAME=VALUE` */
  where: string[];
  cursor?: string;
}

const LOCAL_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$/;

/** From the address. What makes no sense is left out: an address can be written by hand. */
export function filtersOf(search: string): Filters {
  const parameters = new URLSearchParams(search);
  const text = (name: string) => parameters.get(name)?.trim() || undefined;
  const time = (name: string) => {
    const value = text(name);
    return value && LOCAL_TIME.test(value) ? value : undefined;
  };
  const status = text('status') as InstanceStatus | undefined;
  return {
    workflow: text('workflow'),
    status: status && STATUSES.includes(status) ? status : undefined,
    since: time('since'),
    until: time('until'),
    where: parameters.getAll('where').filter(isCondition),
    cursor: text('cursor'),
  };
}

/** To the address, without a question mark; always in the same order. */
export function searchOf(filters: Filters): string {
  const parameters = new URLSearchParams();
  for (const name of ['workflow', 'status', 'since', 'until'] as const) {
    const value = filters[name];
    if (value) parameters.set(name, value);
  }
  for (const condition of filters.where) parameters.append('where', condition);
  if (filters.cursor) parameters.set('cursor', filters.cursor);
  return parameters.toString();
}

/** As the API takes them. */
export function queryOf(filters: Filters, limit: number): Record<string, string | number | string[] | undefined> {
  return {
    workflow: filters.workflow,
    status: filters.status,
    since: instantOf(filters.since),
    until: instantOf(filters.until),
    where: filters.where,
    limit,
    cursor: filters.cursor,
  };
}

/** RFC 3339 of a local time. */
export function instantOf(local: string | undefined): string | undefined {
  if (!local) return undefined;
  const time = new Date(local);
  return Number.isNaN(time.getTime()) ? undefined : time.toISOString();
}

/** `NAME=VALUE`, with both. */
export function isCondition(text: string): boolean {
  return text.indexOf('=') > 0;
}

export function isFiltered(filters: Filters): boolean {
  return searchOf({ ...filters, cursor: undefined }) !== '';
}
