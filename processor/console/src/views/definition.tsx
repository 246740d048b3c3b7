// One workflow: a version of it as a graph and as its text, and its schedule.
import { useState } from 'preact/hooks';
import { path } from '../api/client';
import { mayAdminister, mayWrite } from '../api/session';
import type {
  Definition as DefinitionView,
  Graph as GraphView,
  Schedules as SchedulesView,
  Workflow,
} from '../api/types';
import { Graph } from '../ui/graph';
import { Button, Copy, Empty, Fact, Facts, Loading, Scroll, When, Wrong } from '../ui/parts';
import { go, Link } from '../ui/router';
import { useEvery, useLoaded, useTitle } from '../ui/use';
import { Deploy } from './deploy';
import { Schedules } from './schedules';
import { Start } from './start';

const EVERY_MS = 5_000;

export function Definition({ namespace, name, version }: { namespace: string; name: string; version?: string }) {
  const workflow = `${namespace}/${name}`;
  useTitle(workflow);
  const found = useLoaded<Workflow>(path(['definitions', namespace, name]));
  const shown = version ?? found.data?.newest;
  const definition = useLoaded<DefinitionView>(shown && path(['definitions', namespace, name, shown]));
  const graph = useLoaded<GraphView>(shown && path(['definitions', namespace, name, shown, 'graph']));
  const isScheduled = found.data?.versions.some((it) => it.is_scheduled) === true;
  const schedules = useLoaded<SchedulesView>(isScheduled ? path(['schedules']) : undefined);
  useEvery(schedules.again, EVERY_MS);
  const [open, setOpen] = useState<'start' | 'deploy'>();
  const schedule = schedules.data?.schedules.filter((it) => it.workflow === workflow) ?? [];

  return (
    <>
      <div class="head">
        <nav class="crumbs" aria-label="Where this is">
          <Link to={['definitions']}>Definitions</Link>
        </nav>
        <h1 class="id">{workflow}</h1>
        {found.data && shown && (
          <label class="version">
            <span class="unseen">Version</span>
            <select value={shown} onChange={(event) => go(['definitions', namespace, name, event.currentTarget.value])}>
              {found.data.versions.map((it) => (
                <option key={it.version} value={it.version}>
                  {it.version === found.data?.newest ? `${it.version} (newest)` : it.version}
                </option>
              ))}
            </select>
          </label>
        )}
        <div class="actions">
          <Link to={['instances']} search={new URLSearchParams({ workflow }).toString()} class="button">
            Its instances
          </Link>
          {mayAdminister.value && definition.data && (
            <Button onClick={() => setOpen('deploy')}>Deploy a change…</Button>
          )}
          {mayWrite.value && found.data && (
            <Button kind="main" onClick={() => setOpen('start')}>
              Start an instance
            </Button>
          )}
        </div>
      </div>
      {found.failure?.isMissing || definition.failure?.isMissing ? (
        <Empty title="There is no such definition">
          <p>
            {(found.failure ?? definition.failure)?.message}. What has just been deployed is known a moment later:{' '}
            <button
              type="button"
              class="link"
              onClick={() => {
                found.again();
                definition.again();
                graph.again();
              }}
            >
              look again
            </button>
            .
          </p>
        </Empty>
      ) : (
        (found.failure ?? definition.failure) && (
          <Wrong failure={(found.failure ?? definition.failure)!} retry={found.again} />
        )
      )}
      {definition.isLoading && !definition.data && <Loading what="the definition" />}
      {definition.data && <About definition={definition.data} />}
      {schedule.length > 0 && <Schedules schedules={schedule} onDone={schedules.again} />}
      <div class="split even">
        {graph.data && (
          <section class="panel graph-panel" aria-labelledby="graph-title">
            <div class="panel-head">
              <h2 id="graph-title">Graph</h2>
            </div>
            <Graph graph={graph.data} />
          </section>
        )}
        {definition.data && <Source text={definition.data.text} />}
      </div>
      {open === 'start' && found.data && (
        <Start workflows={[found.data]} initial={workflow} onClose={() => setOpen(undefined)} />
      )}
      {open === 'deploy' && definition.data && (
        <Deploy initial={definition.data.text} onClose={() => setOpen(undefined)} onDone={found.again} />
      )}
    </>
  );
}

function About({ definition }: { definition: DefinitionView }) {
  const { title, deployed_at, digest, queues, queries, search_attributes } = definition;
  return (
    <Facts>
      {title && <Fact name="Title">{title}</Fact>}
      <Fact name="Deployed">
        <When at={deployed_at} />
      </Fact>
      <Fact name="Digest">
        <code class="code" title={digest}>
          {digest.slice(0, 12)}
        </code>
      </Fact>
      {queues.length > 0 && <Fact name="Queues">{queues.join(', ')}</Fact>}
      {search_attributes.length > 0 && <Fact name="Found by">{search_attributes.join(', ')}</Fact>}
      {queries.length > 0 && <Fact name="Queries">{queries.join(', ')}</Fact>}
    </Facts>
  );
}

function Source({ text }: { text: string }) {
  const lines = text.replace(/\n$/, '').split('\n');
  return (
    <section class="panel" aria-labelledby="source-title">
      <div class="panel-head">
        <h2 id="source-title">Source</h2>
        <Copy text={text} what="the source" />
      </div>
      <Scroll label="Source" text>
        <pre class="source">
          {lines.map((it, index) => (
            // A line is its number.
            <span key={index} class="source-line">
              {`${it}\n`}
            </span>
          ))}
        </pre>
      </Scroll>
    </section>
  );
}
