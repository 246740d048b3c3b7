// Workflows that are deployed, and schedules.
import { useState } from 'preact/hooks';
import { path } from '../api/client';
import { mayAdminister } from '../api/session';
import type { Schedules as SchedulesView, Workflow, Workflows } from '../api/types';
import { counted } from '../model/format';
import { Button, Empty, Loading, Scroll, When, Wrong } from '../ui/parts';
import { Link } from '../ui/router';
import { useEvery, useLoaded, useTitle } from '../ui/use';
import { Deploy } from './deploy';
import { Schedules } from './schedules';

const EVERY_MS = 5_000;

export function Definitions() {
  useTitle('Definitions');
  const workflows = useLoaded<Workflows>(path(['definitions']));
  const schedules = useLoaded<SchedulesView>(path(['schedules']));
  const [isDeploying, setDeploying] = useState(false);
  const again = () => {
    workflows.again();
    schedules.again();
  };
  useEvery(again, EVERY_MS);
  const found = workflows.data?.workflows;
  return (
    <>
      <div class="head">
        <h1>Definitions</h1>
        <div class="actions">
          <Button kind={mayAdminister.value ? 'main' : 'plain'} onClick={() => setDeploying(true)}>
            {mayAdminister.value ? 'Deploy…' : 'Check a definition…'}
          </Button>
        </div>
      </div>
      {workflows.failure && <Wrong failure={workflows.failure} retry={again} />}
      {!found && !workflows.failure && <Loading what="the workflows" />}
      {found?.length === 0 && (
        <Empty title="No workflow is deployed">
          <p>
            {mayAdminister.value ? 'Deploy one here, or by' : 'It takes the role admin to deploy one here; or do it by'}{' '}
            <code>millrace deploy FILE</code>. <code>topology/examples</code> in the sources has some to begin with.
          </p>
        </Empty>
      )}
      {found && found.length > 0 && <Table workflows={found} />}
      {schedules.failure && <Wrong failure={schedules.failure} retry={again} />}
      {schedules.data && schedules.data.schedules.length > 0 && (
        <Schedules schedules={schedules.data.schedules} onDone={schedules.again} />
      )}
      {isDeploying && <Deploy onClose={() => setDeploying(false)} onDone={again} />}
    </>
  );
}

function Table({ workflows }: { workflows: Workflow[] }) {
  return (
    <Scroll label="Workflows">
      <table class="list">
        <thead>
          <tr>
            <th scope="col">Workflow</th>
            <th scope="col">Newest</th>
            <th scope="col">Versions</th>
            <th scope="col">Deployed</th>
            <th scope="col">Queues</th>
            <th scope="col">Found by</th>
            <th scope="col">Instances</th>
          </tr>
        </thead>
        <tbody>
          {workflows.map(({ workflow, newest, versions }) => {
            const version = versions.find((it) => it.version === newest) ?? versions[0];
            const [namespace, name] = workflow.split('/');
            return (
              <tr key={workflow}>
                <th scope="row">
                  <Link to={['definitions', namespace ?? '', name ?? '']} class="id">
                    {workflow}
                  </Link>
                  {version?.title && <span class="under">{version.title}</span>}
                </th>
                <td class="number">{newest}</td>
                <td class="number">{counted(versions.length, 'version')}</td>
                <td>{version && <When at={version.deployed_at} />}</td>
                <td>{version?.queues.join(', ')}</td>
                <td>{version?.search_attributes.join(', ')}</td>
                <td>
                  <Link
                    to={['instances']}
                    search={new URLSearchParams({ workflow }).toString()}
                    label={`Instances of ${workflow}`}
                  >
                    Show
                  </Link>
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scroll>
  );
}
