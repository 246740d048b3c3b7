// What the stream of all instances says about how they stand: the list itself is some seconds behind.
import type { Entry, InstanceStatus } from '../api/types';

const STATUS_AFTER: Record<string, InstanceStatus> = {
  instance_started: 'running',
  instance_resumed: 'running',
  instance_restarted: 'running',
  instance_suspended: 'suspended',
  incident_raised: 'incident',
  instance_completed: 'completed',
  instance_faulted: 'faulted',
  instance_cancelled: 'cancelled',
};

/** How an instance stands after an entry of its history; nothing if that has not changed it. */
export function statusAfter(entry: Pick<Entry, 'events'>): InstanceStatus | undefined {
  return entry.events.map((it) => STATUS_AFTER[it.type]).findLast((it) => it !== undefined);
}

export interface Told {
  status: InstanceStatus;
  at: string;
}

/** A row of the list, with what the stream has told since it was written. */
export function asTold<R extends { id: string; status: string; updated_at: string }>(
  row: R,
  told: ReadonlyMap<string, Told>,
): R {
  const news = told.get(row.id);
  // Both are in RFC 3339 in UTC, but with as many digits as they need.
  if (!news || Date.parse(news.at) < Date.parse(row.updated_at)) return row;
  return { ...row, status: news.status, updated_at: news.at };
}
