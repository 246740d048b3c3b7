// Who owns what, and how far behind it is.
import { path } from '../api/client';
import type { Fleet as FleetView } from '../api/types';
import { duration, number } from '../model/format';
import { Mark, Status } from '../ui/marks';
import { Loading, Scroll, Wrong } from '../ui/parts';
import { useEvery, useLoaded, useTitle } from '../ui/use';

/** Processors tell these figures once a second. */
const EVERY_MS = 2_000;

export function Fleet() {
  useTitle('Fleet');
  const { data, failure, again } = useLoaded<FleetView>(path(['fleet']));
  useEvery(again, EVERY_MS);
  return (
    <>
      <div class="head">
        <h1>Fleet</h1>
        <span class="faint">asked every two seconds</span>
      </div>
      {failure && <Wrong failure={failure} retry={again} />}
      {!data && !failure && <Loading what="the fleet" />}
      {data && (
        <>
          <Figures fleet={data} />
          <Processors fleet={data} />
          <Partitions fleet={data} />
        </>
      )}
    </>
  );
}

function Figures({ fleet }: { fleet: FleetView }) {
  const { partitions, processors } = fleet;
  const states = partitions.map((it) => it.state);
  const serving = states.filter((it) => it?.status === 'active').length;
  const known = states.flatMap((it) => (it?.lag_records === undefined ? [] : [it]));
  const records = known.reduce((sum, it) => sum + (it.lag_records ?? 0), 0);
  const oldest = Math.max(0, ...known.map((it) => it.lag_seconds ?? 0));
  const dirty = states.reduce((sum, it) => sum + (it?.instances_dirty ?? 0), 0);
  const reached = processors.filter((it) => it.is_reached).length;
  return (
    <dl class="figures">
      <Figure
        name="Partitions that serve"
        value={`${serving} of ${partitions.length}`}
        isBad={serving < partitions.length}
      />
      <Figure
        name="Processors that answer"
        value={`${reached} of ${processors.length}`}
        isBad={reached < processors.length}
      />
      <Figure name="Records that wait" value={known.length === 0 ? 'not known' : number(records)} />
      <Figure name="The oldest waits" value={known.length === 0 ? 'not known' : duration(oldest * 1_000)} />
      <Figure name="Instances to flush" value={number(dirty)} />
    </dl>
  );
}

function Figure({ name, value, isBad }: { name: string; value: string; isBad?: boolean }) {
  return (
    <div class={isBad ? 'figure bad' : 'figure'}>
      <dt>
        {isBad && <Mark of="incident" />} {name}
      </dt>
      <dd class="number">{value}</dd>
    </div>
  );
}

function Processors({ fleet }: { fleet: FleetView }) {
  return (
    <section class="panel" aria-labelledby="processors-title">
      <div class="panel-head">
        <h2 id="processors-title">Processors</h2>
      </div>
      <Scroll label="Processors">
        <table class="list">
          <thead>
            <tr>
              <th scope="col">Address</th>
              <th scope="col">Answers</th>
              <th scope="col" class="right">
                Partitions
              </th>
              <th scope="col">Note</th>
            </tr>
          </thead>
          <tbody>
            {fleet.processors.map((it) => (
              <tr key={it.url}>
                <th scope="row" class="id">
                  {it.url}
                </th>
                <td>
                  <span class={`status is-${it.is_reached ? 'completed' : 'faulted'}`}>
                    <Mark of={it.is_reached ? 'completed' : 'faulted'} />
                    {it.is_reached ? 'yes' : 'no'}
                  </span>
                </td>
                <td class="right number">{it.partitions}</td>
                <td>{it.is_this ? 'the one that this page asks' : it.note}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}

function Partitions({ fleet }: { fleet: FleetView }) {
  const most = Math.max(1, ...fleet.partitions.map((it) => it.state?.lag_records ?? 0));
  return (
    <section class="panel" aria-labelledby="partitions-title">
      <div class="panel-head">
        <h2 id="partitions-title">Partitions</h2>
      </div>
      <Scroll label="Partitions">
        <table class="list">
          <thead>
            <tr>
              <th scope="col" class="right">
                Partition
              </th>
              <th scope="col">Status</th>
              <th scope="col">Owner</th>
              <th scope="col" class="right" title="Records that wait for it, of all its sources">
                Lag, records
              </th>
              <th scope="col" class="right" title="How old the next of them is">
                Lag, time
              </th>
              <th scope="col" class="right" title="One past the last committed record of its changelog">
                Changelog end
              </th>
              <th scope="col" class="right" title="Where a restore would begin">
                Checkpoint
              </th>
              <th scope="col" class="right" title="What a restore would read: changelog end less checkpoint">
                To restore
              </th>
              <th scope="col" class="right" title="Instances whose snapshot is behind">
                Dirty
              </th>
              <th scope="col" class="right" title="Instances in memory">
                Cached
              </th>
            </tr>
          </thead>
          <tbody>
            {fleet.partitions.map(({ partition, state, owner_url, transactional_id }) => (
              <tr key={partition}>
                <th scope="row" class="right number">
                  {partition}
                </th>
                <td>{state ? <Status of={state.status} /> : <Status of="unknown" />}</td>
                <td class="id" title={transactional_id}>
                  {owner_url ?? <span class="faint">nobody has told</span>}
                </td>
                <td class="right number lag">
                  {state?.lag_records === undefined ? '–' : number(state.lag_records)}
                  <span
                    class="meter"
                    style={{ width: `${Math.round((60 * (state?.lag_records ?? 0)) / most)}px` }}
                    aria-hidden="true"
                  />
                </td>
                <td class="right number">
                  {state?.lag_seconds === undefined ? '–' : duration(state.lag_seconds * 1_000)}
                </td>
                <td class="right number">{state ? number(state.changelog_end) : '–'}</td>
                <td class="right number">{state ? number(state.checkpoint_offset) : '–'}</td>
                <td class="right number">
                  {state ? number(Math.max(0, state.changelog_end - state.checkpoint_offset)) : '–'}
                </td>
                <td class="right number">{state ? number(state.instances_dirty) : '–'}</td>
                <td class="right number">{state ? number(state.instances_cached) : '–'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}
