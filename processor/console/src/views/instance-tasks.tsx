// What of an instance is open: tasks that wait for somebody, tasks that are at work, timers.
import { useState } from 'preact/hooks';
import { act } from '../api/act';
import { mayWrite } from '../api/session';
import type { Halted as HaltedTask, Instance } from '../api/types';
import { taskName } from '../model/format';
import { outcomeOf } from '../model/verbs';
import { Button, Fact, Facts, Json, Scroll, When } from '../ui/parts';
import { Link } from '../ui/router';
import { say } from '../ui/said';
import { useBusy } from '../ui/use';
import { EditForm, SkipForm } from './repair';

/** Tasks that failed, with what can be done about each at once. */
export function Halted({ instance }: { instance: Instance }) {
  const tasks = instance.halted_tasks ?? [];
  if (tasks.length === 0) return null;
  return (
    <section class="panel attention" aria-labelledby="halted-title">
      <div class="panel-head">
        <h2 id="halted-title">Failed tasks that wait for you</h2>
      </div>
      {tasks.map((it) => (
        <HaltedRow key={it.task} id={instance.id} halted={it} />
      ))}
    </section>
  );
}

export function HaltedRow({ id, halted, onDone }: { id: string; halted: HaltedTask; onDone?: () => void }) {
  const { task, error, input } = halted;
  return (
    <div class="halted" data-task={task}>
      <div class="halted-said">
        <h3>{taskName(task)}</h3>
        {error && (
          <p>
            {[error.title, error.detail].filter(Boolean).join(': ') || error.type}{' '}
            <span class="faint">
              <code class="code">{error.type}</code> · status {error.status}
            </span>
          </p>
        )}
        {input !== undefined && input !== null && <Json name="It will be given" value={input} isOpen={false} />}
      </div>
      {mayWrite.value && <Repair id={id} halted={halted} onDone={onDone} />}
    </div>
  );
}

function Repair({ id, halted, onDone }: { id: string; halted: HaltedTask; onDone?: () => void }) {
  const [open, setOpen] = useState<'edit' | 'skip'>();
  const [isBusy, failed, run] = useBusy();
  const retry = () =>
    run(async () => {
      say(`Retry of ${taskName(halted.task)}: ${outcomeOf(await act(id, 'retry', { task: halted.task }))}`);
      onDone?.();
    });
  const close = () => {
    setOpen(undefined);
    onDone?.();
  };
  return (
    <div class="actions">
      {failed}
      <Button kind="main" onClick={retry} isBusy={isBusy}>
        Retry
      </Button>
      <Button onClick={() => setOpen('edit')}>Edit input…</Button>
      <Button onClick={() => setOpen('skip')}>Skip…</Button>
      {open === 'edit' && <EditForm id={id} task={halted.task} input={halted.input} isHalted onClose={close} />}
      {open === 'skip' && <SkipForm id={id} task={halted.task} onClose={close} />}
    </div>
  );
}

export function OpenTasks({ instance, onSelect }: { instance: Instance; onSelect: (task: string) => void }) {
  const [edited, setEdited] = useState<string>();
  const tasks = instance.open_tasks;
  if (tasks.length === 0) return null;
  const canEdit = mayWrite.value && (instance.status === 'suspended' || instance.status === 'incident');
  return (
    <section class="panel" aria-labelledby="open-title">
      <div class="panel-head">
        <h2 id="open-title">Open tasks</h2>
        {instance.status === 'running' && mayWrite.value && <span class="faint">Suspend it to edit their inputs</span>}
      </div>
      <Scroll label="Open tasks">
        <table class="list">
          <thead>
            <tr>
              <th scope="col">Task</th>
              <th scope="col">State</th>
              <th scope="col">Since</th>
              <th scope="col">What</th>
              {canEdit && <th scope="col">Edit</th>}
            </tr>
          </thead>
          <tbody>
            {tasks.map((it) => (
              <tr key={it.execution}>
                <th scope="row">
                  <button type="button" class="link" onClick={() => onSelect(it.task)}>
                    {taskName(it.task)}
                  </button>
                </th>
                <td>{it.state.replaceAll('_', ' ')}</td>
                <td>
                  <When at={it.started_at} />
                </td>
                <td>
                  {it.attempt > 1 && `attempt ${it.attempt} `}
                  {it.child !== undefined && (
                    <Link to={['instances', it.child]} class="id">
                      {it.child}
                    </Link>
                  )}
                  {it.function !== undefined && `${it.function} in ${it.queue}`}
                  {it.index !== undefined && ` item ${it.index}`}
                  {it.retries !== undefined && it.retries > 0 && ` ${it.retries} retries`}
                  {it.error && ` ${it.error.detail ?? it.error.title ?? it.error.type}`}
                  {it.deadline && (
                    <>
                      {' '}
                      until <When at={it.deadline} />
                    </>
                  )}
                </td>
                {canEdit && (
                  <td>
                    <Button onClick={() => setEdited(it.task)} label={`Edit the input of ${taskName(it.task)}`}>
                      Edit…
                    </Button>
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      {edited !== undefined && <EditForm id={instance.id} task={edited} onClose={() => setEdited(undefined)} />}
    </section>
  );
}

export function Timers({ instance }: { instance: Instance }) {
  if (instance.timers.length === 0) return null;
  const tasks = new Map(instance.open_tasks.map((it) => [it.execution, it.task]));
  return (
    <section class="panel" aria-labelledby="timers-title">
      <div class="panel-head">
        <h2 id="timers-title">Timers</h2>
      </div>
      <Facts>
        {instance.timers.map((it) => (
          <Fact
            key={it.timer}
            name={`${it.purpose.replaceAll('_', ' ')}${tasks.has(it.execution) ? ` of ${taskName(tasks.get(it.execution)!)}` : ''}`}
          >
            due <When at={it.due} />
          </Fact>
        ))}
      </Facts>
    </section>
  );
}
