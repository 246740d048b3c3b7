// A task of an instance that was chosen in the graph: how it stands, what went in, and what came out.
import type { Entry, Graph, Instance } from '../api/types';
import { counted } from '../model/format';
import { Executions } from '../model/history';
import { lookOf, wordsOf } from '../model/node-look';
import { Mark } from '../ui/marks';
import { Button, Fact, Facts, Json, When } from '../ui/parts';
import { ErrorNote } from './instance';

export function TaskPanel({
  instance,
  graph,
  task,
  history,
  onClose,
}: {
  instance: Instance;
  graph: Graph;
  task: string;
  history: Entry[];
  onClose: () => void;
}) {
  const node = graph.nodes.find((it) => it.id === task);
  if (!node) return null;
  const { state } = node;
  const { input, output } = dataOf(task, history);
  const open = instance.open_tasks.find((it) => it.task === task);
  return (
    <section class="panel" aria-labelledby="task-title">
      <div class="panel-head">
        <h2 id="task-title">
          <Mark of={lookOf(state)} /> {node.name}
        </h2>
        <span class="faint">{wordsOf(state)}</span>
        <Button kind="quiet" onClick={onClose} label="Close the task">
          ×
        </Button>
      </div>
      <Facts>
        <Fact name="Does">{node.detail ? `${node.kind}: ${node.detail}` : node.kind}</Fact>
        <Fact name="Place">
          <code class="code">{node.id}</code>
        </Fact>
        {node.condition && (
          <Fact name="Only if">
            <code class="code">{node.condition}</code>
          </Fact>
        )}
        {state && state.entered > 0 && <Fact name="Entered">{counted(state.entered, 'time')}</Fact>}
        {state?.entered_at && (
          <Fact name="Last entered">
            <When at={state.entered_at} />
          </Fact>
        )}
        {state?.ended_at && (
          <Fact name="Last ended">
            <When at={state.ended_at} />
          </Fact>
        )}
        {open?.queue && <Fact name="Queue">{open.queue}</Fact>}
      </Facts>
      {state?.error && <ErrorNote title="Last error" error={state.error} />}
      {input !== undefined && <Json name="Input of the last time" value={input} />}
      {output !== undefined && <Json name="Output of the last time" value={output} />}
    </section>
  );
}

/** The last data that went into a task, and came out of it, as far as the history says it: what did not change is not told. */
function dataOf(task: string, history: Entry[]): { input?: unknown; output?: unknown } {
  const executions = new Executions();
  const data: { input?: unknown; output?: unknown } = {};
  for (const line of history.flatMap((it) => executions.lines(it))) {
    if (line.task !== task) continue;
    if (line.facts.input !== undefined) data.input = line.facts.input;
    if (line.facts.output !== undefined) data.output = line.facts.output;
  }
  return data;
}
