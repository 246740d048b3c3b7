// Instances that stand still until somebody says how they go on, and those that have ended with an error.
import { useEffect, useState } from 'preact/hooks';
import { path } from '../api/client';
import { mayWrite } from '../api/session';
import type { Followed, Instance, Instances, Row } from '../api/types';
import { statusAfter } from '../model/live';
import { Status } from '../ui/marks';
import { Empty, Live, Loading, When, Wrong } from '../ui/parts';
import { address, Link } from '../ui/router';
import { useFollowed, useLoaded, useSoon, useTitle } from '../ui/use';
import { InstanceActions } from './instance-actions';
import { HaltedRow } from './instance-tasks';

const PAGE = 25;
/** The list is written some time after what it tells. */
const SOON_MS = 700;
const LATER_MS = 5_000;

type Kind = 'incident' | 'faulted';

export function Incidents() {
  useTitle('Incidents');
  const parameters = new URLSearchParams(address.value.search);
  const kind: Kind = parameters.get('status') === 'faulted' ? 'faulted' : 'incident';
  const cursor = parameters.get('cursor') ?? undefined;
  const list = useLoaded<Instances>(path(['instances'], { status: kind, limit: PAGE, cursor }));
  const [told, setTold] = useState<ReadonlyMap<string, number>>(new Map());
  const soon = useSoon(list.again, SOON_MS);
  const later = useSoon(list.again, LATER_MS);
  const link = useFollowed(path(['events']), {
    onMessage: ({ event, data }) => {
      if (event !== 'entry') return;
      const entry = JSON.parse(data) as Followed;
      if (statusAfter(entry) === undefined) return;
      setTold((before) => new Map([...before].slice(-999)).set(entry.instance, entry.stamp));
      soon();
      later();
    },
    onOpen: list.again,
  });
  const rows = list.data?.instances;
  return (
    <>
      <div class="head">
        <h1>Incidents</h1>
        <Live link={link} />
      </div>
      <nav class="tabs" aria-label="Which">
        <Link to={['incidents']} current={kind === 'incident'}>
          Need somebody
        </Link>
        <Link to={['incidents']} search="status=faulted" current={kind === 'faulted'}>
          Ended with an error
        </Link>
      </nav>
      {list.failure && <Wrong failure={list.failure} retry={list.again} />}
      {!rows && !list.failure && <Loading what="incidents" />}
      {rows?.length === 0 && <Nothing kind={kind} isOlder={cursor !== undefined} />}
      {rows && rows.length > 0 && (
        <ul class="cards">
          {rows.map((it) => (
            <Card key={it.id} row={it} news={told.get(it.id)} />
          ))}
        </ul>
      )}
      <nav class="pages" aria-label="Pages">
        {cursor && (
          <Link to={['incidents']} search={`status=${kind}`}>
            Newest
          </Link>
        )}
        {list.data?.next && (
          <Link to={['incidents']} search={new URLSearchParams({ status: kind, cursor: list.data.next }).toString()}>
            Older
          </Link>
        )}
      </nav>
    </>
  );
}

function Card({ row, news }: { row: Row; news?: number }) {
  const found = useLoaded<Instance>(path(['instances', row.id]));
  // The stream tells what changes. The row does not: it stays as it is when an instance goes on and fails again at once.
  useEffect(() => {
    if (found.data) found.again();
  }, [row.updated_at, news]);
  const instance = found.data;
  const halted = instance?.halted_tasks ?? [];
  const error = instance?.error;
  return (
    <li class="panel card" data-id={row.id}>
      <div class="panel-head">
        <h2>
          <Link to={['instances', row.id]} class="id">
            {row.id}
          </Link>
        </h2>
        <Status of={instance?.status ?? row.status} />
        <span class="faint">{row.workflow}</span>
        <span class="faint">
          <When at={row.updated_at} />
        </span>
      </div>
      {found.failure && <Wrong failure={found.failure} retry={found.again} />}
      {!instance && !found.failure && <Loading what="what went wrong" />}
      {halted.map((it) => (
        <HaltedRow key={it.task} id={row.id} halted={it} onDone={found.again} />
      ))}
      {instance && halted.length === 0 && (
        <div class="halted">
          <div class="halted-said">
            {error ? (
              <>
                <h3>{error.title ?? error.type}</h3>
                <p>
                  {error.detail}{' '}
                  <span class="faint">
                    <code class="code">{error.type}</code> · status {error.status}
                    {error.instance && ` · at ${error.instance}`}
                  </span>
                </p>
              </>
            ) : (
              <p>{instance.incident?.detail ?? 'It goes on again.'}</p>
            )}
          </div>
          {mayWrite.value && <InstanceActions instance={instance} nodes={[]} isShort />}
        </div>
      )}
    </li>
  );
}

function Nothing({ kind, isOlder }: { kind: Kind; isOlder: boolean }) {
  if (isOlder) return <Empty title="There are no older ones" />;
  return kind === 'incident' ? (
    <Empty title="Nothing needs you">
      <p>
        An instance comes here when a task fails, nothing catches that, and its workflow says{' '}
        <code>onFault: incident</code>.
      </p>
    </Empty>
  ) : (
    <Empty title="No instance has ended with an error">
      <p>Those that do are kept here as long as ended instances are. Each can be restarted from one of its tasks.</p>
    </Empty>
  );
}
