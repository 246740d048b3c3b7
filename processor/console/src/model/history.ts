// Entries of a history, as lines for people.
import type { Entry } from '../api/types';
import { dateTime, taskName } from './format';
import { brief } from './json';

export interface Line {
  type: string;
  /** JSON pointer of the task that it is about. */
  task?: string;
  /** What it is about: a task, most of the time. */
  about?: string;
  detail?: string;
  /** Whether something has gone wrong. */
  isBad: boolean;
  /** All that it says. */
  facts: Record<string, unknown>;
}

const BAD = new Set(['task_faulted', 'instance_faulted', 'incident_raised', 'task_halted', 'error_caught']);

/** Tasks of executions, which later events name by their number alone. */
export class Executions {
  readonly #tasks = new Map<number, string>();

  /** The events of an entry, in order. Entries come in their order, too. */
  lines(entry: Entry): Line[] {
    return entry.events.map((it) => this.#line(it));
  }

  #line({ type, ...facts }: Entry['events'][number]): Line {
    const fields = facts as Record<string, unknown>;
    const own = typeof fields.task === 'string' ? fields.task : undefined;
    const execution = typeof fields.execution === 'number' ? fields.execution : undefined;
    if (own !== undefined && execution !== undefined) this.#tasks.set(execution, own);
    const task = own ?? (execution === undefined ? undefined : this.#tasks.get(execution));
    return {
      type,
      task,
      about: task === undefined ? undefined : taskName(task),
      detail: detail(type, fields),
      isBad: BAD.has(type),
      facts: fields,
    };
  }
}

function detail(type: string, facts: Record<string, unknown>): string | undefined {
  const error = facts.error as { title?: string; detail?: string; type?: string } | undefined;
  if (error) return error.detail ?? error.title ?? error.type;
  if (type === 'incident_raised') return (facts.incident as { detail?: string } | undefined)?.detail;
  if (type === 'instance_started') return text(facts.workflow);
  if (type === 'timer_set' || type === 'retry_scheduled') {
    const due = typeof facts.due === 'number' ? new Date(facts.due).toISOString() : text(facts.due);
    return due && [text(facts.purpose)?.replaceAll('_', ' '), `due ${dateTime(due)}`].filter(Boolean).join(', ');
  }
  if (type === 'task_started') return text((facts.activity as { type?: unknown } | undefined)?.type);
  if (typeof facts.reason === 'string' && facts.reason !== '') return facts.reason;
  if (facts.output !== undefined) return brief(facts.output);
  return undefined;
}

const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
