// One instance: how it stands, where it stands in its definition, what happened, and what can be done.
import { useCallback, useState } from 'preact/hooks';
import { path } from '../api/client';
import type { Graph as GraphView, Instance as InstanceView } from '../api/types';
import { counted } from '../model/format';
import { Graph } from '../ui/graph';
import { Status } from '../ui/marks';
import { Copy, Empty, Fact, Facts, Json, Live, Loading, When, Wrong } from '../ui/parts';
import { Link } from '../ui/router';
import { useFollowed, useLoaded, useSoon, useTitle } from '../ui/use';
import { InstanceActions } from './instance-actions';
import { Halted, OpenTasks, Timers } from './instance-tasks';
import { TaskPanel } from './task-panel';
import { Timeline, useHistory } from './timeline';

/** Several entries come together: what one command did, and what that led to. */
const SOON_MS = 120;

export function Instance({ id }: { id: string }) {
  useTitle(id);
  const found = useLoaded<InstanceView>(path(['instances', id]));
  const graph = useLoaded<GraphView>(path(['instances', id, 'graph']));
  const history = useHistory(id);
  const [task, setTask] = useState<string>();
  const again = useCallback(() => {
    found.again();
    graph.again();
  }, [found.again, graph.again]);
  const soon = useSoon(again, SOON_MS);
  // From the end of what is known: nothing is told twice, and nothing is missed.
  const target = history.end === undefined ? undefined : path(['instances', id, 'events'], { after: history.end });
  const link = useFollowed(target, {
    onMessage: ({ event, data }) => {
      if (event !== 'entry') return;
      history.add(JSON.parse(data));
      soon();
    },
    onOpen: again,
  });

  const instance = found.data;
  if (!instance) {
    return (
      <>
        <Head id={id} />
        {found.failure?.isMissing ? (
          <Empty title="There is no such instance">
            <p>
              {found.failure.message}. It may have ended so long ago that it is forgotten, or its start was refused:
              then it is in the <Link to={['dead-letters']}>dead letters</Link>.
            </p>
          </Empty>
        ) : found.failure ? (
          <Wrong failure={found.failure} retry={found.again} />
        ) : (
          <Loading what="the instance" />
        )}
      </>
    );
  }
  return (
    <>
      <Head id={id} instance={instance}>
        <Live link={link} />
        <InstanceActions instance={instance} nodes={graph.data?.nodes ?? []} />
      </Head>
      {found.failure && <Wrong failure={found.failure} retry={found.again} />}
      {instance.read_from === 'store' && (
        <div class="note" role="status">
          <p>
            Its processor does not answer; this is how it was last written to the store. {instance.note}
            {instance.complete_until && (
              <>
                {' '}
                What happened after <When at={instance.complete_until} /> may be missing.
              </>
            )}
          </p>
        </div>
      )}
      <Summary instance={instance} />
      <Trouble instance={instance} />
      <Halted instance={instance} />
      <div class="split">
        <section class="panel graph-panel" aria-labelledby="graph-title">
          <div class="panel-head">
            <h2 id="graph-title">Graph</h2>
            <span class="faint">{task ? '' : 'Choose a task to see what it did'}</span>
            {graph.data?.instance?.is_history_whole === false && (
              <span class="faint">Earlier history is gone: old tasks may look unreached</span>
            )}
          </div>
          {graph.failure && <Wrong failure={graph.failure} retry={graph.again} />}
          {!graph.data && !graph.failure && <Loading what="the graph" />}
          {graph.data && <Graph graph={graph.data} selected={task} onSelect={setTask} />}
        </section>
        <div class="side">
          {task && graph.data && (
            <TaskPanel
              instance={instance}
              graph={graph.data}
              task={task}
              history={history.entries}
              onClose={() => setTask(undefined)}
            />
          )}
          <OpenTasks instance={instance} onSelect={setTask} />
          <Timers instance={instance} />
          <Data instance={instance} />
        </div>
      </div>
      <Timeline history={history} task={task} />
    </>
  );
}

function Head({
  id,
  instance,
  children,
}: {
  id: string;
  instance?: InstanceView;
  children?: preact.ComponentChildren;
}) {
  return (
    <div class="head">
      <nav class="crumbs" aria-label="Where this is">
        <Link to={['instances']}>Instances</Link>
      </nav>
      <h1 class="id">{id}</h1>
      <Copy text={id} what="the id" />
      {instance && <Status of={instance.status} />}
      {children}
    </div>
  );
}

function Summary({ instance }: { instance: InstanceView }) {
  const [namespace, name, version] = instance.workflow.split('/');
  return (
    <Facts>
      <Fact name="Workflow">
        <Link to={['definitions', namespace ?? '', name ?? '', version ?? '']}>{instance.workflow}</Link>
      </Fact>
      <Fact name="Started">
        <When at={instance.started_at} />
      </Fact>
      <Fact name="Changed">
        <When at={instance.updated_at} />
      </Fact>
      <Fact name="Tasks entered">
        <span class="number">{instance.steps}</span>
      </Fact>
      {instance.parent !== undefined && (
        <Fact name="Started by">
          <Link to={['instances', instance.parent]} class="id">
            {instance.parent}
          </Link>
        </Fact>
      )}
      {(instance.restarts ?? 0) > 0 && <Fact name="Restarted">{counted(instance.restarts ?? 0, 'time')}</Fact>}
      {instance.buffered_signals > 0 && <Fact name="Events that wait">{instance.buffered_signals}</Fact>}
      {instance.deferred_commands > 0 && <Fact name="Commands that wait">{instance.deferred_commands}</Fact>}
      {(instance.compensations ?? 0) > 0 && (
        <Fact name="Can be undone">{counted(instance.compensations ?? 0, 'task')}</Fact>
      )}
      {instance.traceparent !== undefined && (
        <Fact name="Trace">
          <code class="code">{instance.traceparent.split('-')[1]}</code>
        </Fact>
      )}
      {Object.entries((instance.attributes ?? {}) as Record<string, unknown>).map(([attribute, value]) => (
        <Fact key={attribute} name={attribute}>
          <Link to={['instances']} search={new URLSearchParams({ where: `${attribute}=${String(value)}` }).toString()}>
            {String(value)}
          </Link>
        </Fact>
      ))}
    </Facts>
  );
}

/** Why it stands still, or has ended otherwise than well. */
function Trouble({ instance }: { instance: InstanceView }) {
  const { incident, error, reason, compensating } = instance;
  return (
    <>
      {incident && (
        <div class="note wrong">
          <h2>Incident: {incident.kind.replaceAll(/[-_]/g, ' ')}</h2>
          <p>{incident.detail}</p>
        </div>
      )}
      {error && <ErrorNote title="It faulted" error={error} />}
      {compensating && (
        <div class="note" role="status">
          <p>
            It undoes what it has done, and will then be {compensating.outcome}.
            {compensating.reason && ` Reason: ${compensating.reason}`}
          </p>
        </div>
      )}
      {reason !== undefined && reason !== '' && (
        <p class="note">
          {instance.status === 'suspended' ? 'Suspended' : 'Cancelled'}: {reason}
        </p>
      )}
    </>
  );
}

export function ErrorNote({ title, error }: { title: string; error: NonNullable<InstanceView['error']> }) {
  return (
    <div class="note wrong">
      <h2>
        {title}: {error.title ?? error.type}
      </h2>
      {error.detail && <p>{error.detail}</p>}
      <p class="faint">
        <code class="code">{error.type}</code> · status {error.status}
        {error.instance && (
          <>
            {' '}
            · at <code class="code">{error.instance}</code>
          </>
        )}
      </p>
    </div>
  );
}

function Data({ instance }: { instance: InstanceView }) {
  const { input, output, context } = instance;
  if (input === undefined && output === undefined && context === undefined) return null;
  return (
    <section class="panel" aria-labelledby="data-title">
      <div class="panel-head">
        <h2 id="data-title">Data</h2>
      </div>
      {output !== undefined && <Json name="Output" value={output} />}
      {input !== undefined && <Json name="Input" value={input} />}
      {context !== undefined && context !== null && <Json name="Context" value={context} />}
    </section>
  );
}
