// The list of instances: filtered as the address says, page by page, changed as it happens.
import { useCallback, useEffect, useMemo, useState } from 'preact/hooks';
import { path } from '../api/client';
import { mayAdminister, mayWrite } from '../api/session';
import type { Followed, Instances as Page, Row, Workflows } from '../api/types';
import { type Filters, filtersOf, isFiltered, queryOf, searchOf } from '../model/filters';
import { counted } from '../model/format';
import { asTold, statusAfter, type Told } from '../model/live';
import { VERBS, type Verb } from '../model/verbs';
import { Status } from '../ui/marks';
import { Button, Empty, Live, Loading, Scroll, When, Wrong } from '../ui/parts';
import { address, go, Link } from '../ui/router';
import { useFollowed, useLoaded, useSoon, useTitle } from '../ui/use';
import { Batch } from './batch';
import { FilterBar } from './filter-bar';
import { OnChosen } from './on-chosen';
import { Start } from './start';

const PAGE = 50;
/** The list is written some time after what it tells. */
const SOON_MS = 700;
const LATER_MS = 5_000;

export function Instances() {
  useTitle('Instances');
  const filters = filtersOf(address.value.search);
  const target = path(['instances'], queryOf(filters, PAGE));
  const list = useLoaded<Page>(target);
  const workflows = useLoaded<Workflows>(path(['definitions']));
  const { told, link } = useTold(filters, list.again);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [verb, setVerb] = useState<Verb>();
  const [open, setOpen] = useState<'start' | 'batch'>();
  // Who is chosen on one page is not meant on the next one.
  // Another page, another choice.
  useEffect(() => setChosen(new Set()), [target]);

  const rows = list.data?.instances.map((it) => asTold(it, told));
  const names = workflows.data?.workflows.map((it) => it.workflow) ?? [];
  const set = (change: Partial<Filters>) => go(['instances'], searchOf({ ...filters, cursor: undefined, ...change }));
  const canBatch = mayAdminister.value && filters.workflow !== undefined;

  return (
    <>
      <div class="head">
        <h1>Instances</h1>
        <Live link={link} />
        <div class="actions">
          {canBatch && (
            <Button onClick={() => setOpen('batch')} kind="plain">
              All that match…
            </Button>
          )}
          {mayWrite.value && (
            <Button kind="main" onClick={() => setOpen('start')}>
              Start an instance
            </Button>
          )}
        </div>
      </div>
      <FilterBar filters={filters} workflows={names} onChange={set} />
      {mayWrite.value && chosen.size > 0 && (
        <section class="chosen" aria-label="Chosen instances">
          <span class="number">{counted(chosen.size, 'instance')} chosen</span>
          {(Object.keys(VERBS) as Verb[]).map((it) => (
            <Button key={it} kind={it === 'cancel' ? 'danger' : 'plain'} onClick={() => setVerb(it)}>
              {VERBS[it].name}…
            </Button>
          ))}
          <Button kind="quiet" onClick={() => setChosen(new Set())}>
            Choose none
          </Button>
        </section>
      )}
      {list.failure && <Wrong failure={list.failure} retry={list.again} />}
      {!rows && !list.failure && <Loading what="instances" />}
      {rows && rows.length > 0 && <Table rows={rows} chosen={chosen} onChoose={setChosen} />}
      {rows?.length === 0 && <Nothing filters={filters} hasWorkflows={names.length > 0} />}
      {rows && (
        <nav class="pages" aria-label="Pages">
          {filters.cursor && (
            <Link to={['instances']} search={searchOf({ ...filters, cursor: undefined })}>
              Newest
            </Link>
          )}
          {list.data?.next && (
            <Link to={['instances']} search={searchOf({ ...filters, cursor: list.data.next })}>
              Older
            </Link>
          )}
          {rows.length > 0 && (
            <span class="faint number">{counted(rows.length, 'instance')} on this page, the newest start first</span>
          )}
        </nav>
      )}
      {open === 'start' && (
        <Start
          workflows={workflows.data?.workflows ?? []}
          initial={filters.workflow}
          onClose={() => setOpen(undefined)}
        />
      )}
      {open === 'batch' && <Batch filters={filters} onClose={() => setOpen(undefined)} onDone={list.again} />}
      {verb && rows && (
        <OnChosen
          verb={verb}
          rows={rows.filter((it) => chosen.has(it.id))}
          onClose={() => setVerb(undefined)}
          onDone={list.again}
        />
      )}
    </>
  );
}

/** How instances stand by what the stream has told; the list is loaded again when it has told something. */
function useTold(filters: Filters, again: () => void) {
  const [told, setTold] = useState<ReadonlyMap<string, Told>>(new Map());
  const soon = useSoon(again, SOON_MS);
  const later = useSoon(again, LATER_MS);
  const target = path(['events'], { workflow: filters.workflow });
  const onMessage = useCallback(
    ({ event, data }: { event: string; data: string }) => {
      if (event !== 'entry') return;
      const entry = JSON.parse(data) as Followed;
      const status = statusAfter(entry);
      if (status === undefined) return;
      setTold((before) => new Map([...before].slice(-999)).set(entry.instance, { status, at: entry.at }));
      soon();
      later();
    },
    [soon, later],
  );
  const link = useFollowed(target, { onMessage, onOpen: again });
  return useMemo(() => ({ told, link }), [told, link]);
}

function Table({
  rows,
  chosen,
  onChoose,
}: {
  rows: Row[];
  chosen: ReadonlySet<string>;
  onChoose: (ids: ReadonlySet<string>) => void;
}) {
  const toggle = (id: string) => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    onChoose(next);
  };
  const areAll = rows.every((it) => chosen.has(it.id));
  const canChoose = mayWrite.value;
  const hasAttributes = rows.some((it) => Object.keys(it.attributes ?? {}).length > 0);
  return (
    <Scroll label="Instances">
      <table class="list">
        <thead>
          <tr>
            {canChoose && (
              <th class="choice">
                <input
                  type="checkbox"
                  aria-label="Choose all on this page"
                  checked={areAll}
                  onChange={() => onChoose(new Set(areAll ? [] : rows.map((it) => it.id)))}
                />
              </th>
            )}
            <th scope="col">Id</th>
            <th scope="col">Status</th>
            <th scope="col">Workflow</th>
            {hasAttributes && <th scope="col">Attributes</th>}
            <th scope="col">Started</th>
            <th scope="col">Changed</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((it) => (
            <tr key={it.id} data-id={it.id}>
              {canChoose && (
                <td class="choice">
                  <input
                    type="checkbox"
                    aria-label={`Choose ${it.id}`}
                    checked={chosen.has(it.id)}
                    onChange={() => toggle(it.id)}
                  />
                </td>
              )}
              <th scope="row">
                <Link to={['instances', it.id]} class="id">
                  {it.id}
                </Link>
              </th>
              <td>
                <Status of={it.status} />
              </td>
              <td class="workflow">{it.workflow}</td>
              {hasAttributes && (
                <td>
                  <Attributes of={it.attributes ?? {}} />
                </td>
              )}
              <td>
                <When at={it.started_at} />
              </td>
              <td>
                <When at={it.updated_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Attributes({ of }: { of: Record<string, unknown> }) {
  return (
    <span class="attributes">
      {Object.entries(of).map(([name, value]) => {
        const condition = `${name}=${String(value)}`;
        const filters = filtersOf(address.value.search);
        const where = filters.where.includes(condition) ? filters.where : [...filters.where, condition];
        return (
          <Link
            key={name}
            to={['instances']}
            search={searchOf({ ...filters, where, cursor: undefined })}
            class="attribute"
            label={`Only ${condition}`}
          >
            <span class="faint">{name}</span> {String(value)}
          </Link>
        );
      })}
    </span>
  );
}

function Nothing({ filters, hasWorkflows }: { filters: Filters; hasWorkflows: boolean }) {
  if (filters.cursor) {
    return (
      <Empty title="There are no older ones">
        <p>
          <Link to={['instances']} search={searchOf({ ...filters, cursor: undefined })}>
            Back to the newest
          </Link>
        </p>
      </Empty>
    );
  }
  if (isFiltered(filters)) {
    return (
      <Empty title="No instance is like that">
        <p>
          Ask for less, or <Link to={['instances']}>show all</Link>. What has just started is listed some seconds later.
        </p>
      </Empty>
    );
  }
  return (
    <Empty title="No instances yet">
      {hasWorkflows ? (
        <p>
          Start one here, by an event, or by <code>millrace start NAMESPACE/NAME</code>. It appears at once.
        </p>
      ) : (
        <p>
          There is no workflow yet. <Link to={['definitions']}>Deploy one</Link> first.
        </p>
      )}
    </Empty>
  );
}
