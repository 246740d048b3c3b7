// What happened to an instance: entries of its history, oldest first, page by page, and those that come while it is looked at.
import { useCallback, useEffect, useState } from 'preact/hooks';
import { get, path } from '../api/client';
import { asFailure, type Failure } from '../api/failure';
import { token } from '../api/session';
import type { Entry, History } from '../api/types';
import { clock, dateTime, duration, words } from '../model/format';
import { Executions, type Line } from '../model/history';
import { Button, Json, Loading, Wrong } from '../ui/parts';

const PAGE = 500;

export interface HistoryOf {
  entries: Entry[];
  /** The stamp of the last one that is known, once there are no more; 0 if there is none. */
  end?: number;
  hasMore: boolean;
  failure?: Failure;
  add: (entry: Entry) => void;
  more: () => void;
}

export function useHistory(id: string): HistoryOf {
  const [entries, setEntries] = useState<Entry[]>([]);
  const [end, setEnd] = useState<number>();
  const [hasMore, setHasMore] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const shown = token.value;

  const load = useCallback(
    (after: number | undefined, signal?: AbortSignal) => {
      setFailure(undefined);
      get<History>(path(['instances', id, 'history'], { limit: PAGE, after }), signal).then(
        (page) => {
          setEntries((before) => merged(before, page.entries));
          setHasMore(page.has_more);
          // What is beyond this page is loaded when it is asked for, and followed only then.
          if (!page.has_more) setEnd(page.entries.at(-1)?.stamp ?? after ?? 0);
        },
        (thrown) => {
          if (!signal?.aborted) setFailure(asFailure(thrown));
        },
      );
    },
    [id],
  );
  // A new token is a reason to ask again.
  useEffect(() => {
    const controller = new AbortController();
    load(undefined, controller.signal);
    return () => controller.abort();
  }, [load, shown]);

  const add = useCallback((entry: Entry) => setEntries((before) => merged(before, [entry])), []);
  const more = () => load(entries.at(-1)?.stamp);
  return { entries, end, hasMore, failure, add, more };
}

/** By their stamps, which order them; none twice. */
function merged(before: Entry[], news: Entry[]): Entry[] {
  const known = new Set(before.map((it) => it.stamp));
  const fresh = news.filter((it) => !known.has(it.stamp));
  return fresh.length === 0 ? before : [...before, ...fresh].sort((a, b) => a.stamp - b.stamp);
}

export function Timeline({ history, task }: { history: HistoryOf; task?: string }) {
  const { entries, failure, hasMore, more } = history;
  const executions = new Executions();
  const all = entries.map((entry) => ({ entry, lines: executions.lines(entry) }));
  const rows = task === undefined ? all : all.filter(({ lines }) => lines.some((it) => it.task === task));
  const began = entries[0] && Date.parse(entries[0].at);
  return (
    <section class="panel" aria-labelledby="history-title">
      <div class="panel-head">
        <h2 id="history-title">History</h2>
        <span class="faint number">
          {task === undefined
            ? `${entries.length} entries`
            : `${rows.length} of ${entries.length} entries are of the chosen task`}
        </span>
      </div>
      {failure && <Wrong failure={failure} retry={more} />}
      {entries.length === 0 &&
        !failure &&
        (history.end === undefined ? (
          <Loading what="the history" />
        ) : (
          <p class="faint">Nothing of its history is kept any more.</p>
        ))}
      <ol class="timeline">
        {rows.map(({ entry, lines }) => (
          <li key={entry.stamp}>
            <time dateTime={entry.at} title={dateTime(entry.at)} class="number">
              {clock(entry.at, true)}
              <span class="faint">{began === undefined ? '' : `+${duration(Date.parse(entry.at) - began)}`}</span>
            </time>
            <div class="what">
              {lines.map((it, index) => (
                // What happened stays in its place.
                <TimelineLine key={index} line={it} />
              ))}
            </div>
            <Cause entry={entry} />
          </li>
        ))}
      </ol>
      {hasMore && <Button onClick={more}>Load later entries</Button>}
    </section>
  );
}

function TimelineLine({ line }: { line: Line }) {
  const hasFacts = Object.keys(line.facts).length > 0;
  const head = (
    <>
      <span class={`event ${line.isBad ? 'bad' : ''}`}>{words(line.type)}</span> {line.about && <b>{line.about}</b>}{' '}
      {line.detail && <span class="detail">{line.detail}</span>}
    </>
  );
  const [isOpen, setOpen] = useState(false);
  if (!hasFacts) return <div class="line">{head}</div>;
  return (
    <details class="line" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{head}</summary>
      {isOpen && <Json name={`${words(line.type)}, all that it says`} value={line.facts} />}
    </details>
  );
}

function Cause({ entry }: { entry: Entry }) {
  const { source, id } = entry.cause;
  return (
    <span class="cause faint" title={`${source} ${id}`}>
      {source.split('/').slice(-2).join('/')}
    </span>
  );
}
