// What starts instances by the clock.
import { path, post } from '../api/client';
import { mayWrite } from '../api/session';
import type { Command, Schedule } from '../api/types';
import { outcomeOf } from '../model/verbs';
import { Status } from '../ui/marks';
import { Button, Scroll, When } from '../ui/parts';
import { Link } from '../ui/router';
import { say } from '../ui/said';
import { useBusy } from '../ui/use';

export function Schedules({ schedules, onDone }: { schedules: Schedule[]; onDone: () => void }) {
  return (
    <section class="panel" aria-labelledby="schedules-title">
      <div class="panel-head">
        <h2 id="schedules-title">Schedules</h2>
      </div>
      <Scroll label="Schedules">
        <table class="list">
          <thead>
            <tr>
              <th scope="col">Workflow</th>
              <th scope="col">Status</th>
              <th scope="col">Rhythm</th>
              <th scope="col">Next</th>
              <th scope="col">Last</th>
              <th scope="col" class="right">
                Started
              </th>
              <th scope="col" class="right">
                Skipped
              </th>
              <th scope="col" class="right">
                Failed
              </th>
              {mayWrite.value && <th scope="col">Do</th>}
            </tr>
          </thead>
          <tbody>
            {schedules.map((it) => (
              <ScheduleRow key={it.workflow} schedule={it} onDone={onDone} />
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}

function ScheduleRow({ schedule, onDone }: { schedule: Schedule; onDone: () => void }) {
  const { workflow, status, reason, rhythm, next_at, last, last_error, note } = schedule;
  const [isBusy, failed, run] = useBusy();
  const [namespace = '', name = ''] = workflow.split('/');
  const act = (verb: 'pause' | 'resume' | 'trigger') =>
    run(async () => {
      const target = path(['schedules', namespace, name, verb], { wait: 'accepted' });
      say(`${workflow}, ${verb}: ${outcomeOf(await post<Command>(target, verb === 'trigger' ? undefined : {}))}`);
      onDone();
    });
  return (
    <tr data-workflow={workflow}>
      <th scope="row">
        <Link to={['definitions', namespace, name]} class="id">
          {workflow}
        </Link>
        <span class="under">{schedule.version}</span>
      </th>
      <td>
        <Status of={status} />
        {(reason || note) && <span class="under">{reason || note}</span>}
      </td>
      <td class="number">{rhythm}</td>
      <td>{next_at ? <When at={next_at} /> : <span class="faint">none for now</span>}</td>
      <td>
        {last && (
          <Link to={['instances', last.instance]} class="id">
            {last.instance}
          </Link>
        )}
        {last_error && <span class="under bad">{last_error}</span>}
      </td>
      <td class="right number">{schedule.started}</td>
      <td class="right number">{schedule.skipped}</td>
      <td class="right number">{schedule.failed}</td>
      {mayWrite.value && (
        <td>
          <div class="actions">
            {status === 'active' && (
              <Button onClick={() => act('pause')} isBusy={isBusy} label={`Pause ${workflow}`}>
                Pause
              </Button>
            )}
            {status === 'paused' && (
              <Button onClick={() => act('resume')} isBusy={isBusy} label={`Resume ${workflow}`}>
                Resume
              </Button>
            )}
            {status !== 'retired' && (
              <Button onClick={() => act('trigger')} isBusy={isBusy} label={`Start ${workflow} now`}>
                Start now
              </Button>
            )}
          </div>
          {failed}
        </td>
      )}
    </tr>
  );
}
