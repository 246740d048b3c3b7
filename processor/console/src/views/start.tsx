// Starts an instance.
import { useMemo, useState } from 'preact/hooks';
import { path, post } from '../api/client';
import type { Started, Workflow } from '../api/types';
import { parse } from '../model/json';
import { Form } from '../ui/dialog';
import { Field, JsonField } from '../ui/parts';
import { go } from '../ui/router';
import { say } from '../ui/said';

export function Start({
  workflows,
  initial,
  onClose,
}: {
  workflows: Workflow[];
  initial?: string;
  onClose: () => void;
}) {
  const [workflow, setWorkflow] = useState(initial ?? workflows[0]?.workflow ?? '');
  const [id, setId] = useState('');
  const [input, setInput] = useState('{}');
  // Sent again after a failure, it starts nothing again.
  const own = useMemo(
    () =>
      `console-${[...crypto.getRandomValues(new Uint8Array(8))].map((it) => it.toString(16).padStart(2, '0')).join('')}`,
    [],
  );
  const parsed = parse(input);
  const versions = workflows.find((it) => it.workflow === workflow)?.versions ?? [];
  const [version, setVersion] = useState('');
  const why = workflow === '' ? 'Deploy a workflow first' : 'error' in parsed ? parsed.error : undefined;

  const act = async () => {
    if ('error' in parsed) return;
    const started = await post<Started>(path(['instances'], { wait: 'accepted' }), {
      workflow: version === '' ? workflow : `${workflow}/${version}`,
      id: id.trim() || own,
      input: parsed.value,
    });
    say(`${started.id} ${started.answer === 'timed_out' ? 'is sent, and not decided yet' : 'has started'}`);
    go(['instances', started.id]);
  };
  return (
    <Form title="Start an instance" verb="Start" why={why} act={act} onClose={onClose}>
      <div class="pair">
        <Field label="Workflow">
          {(props) => (
            <select
              {...props}
              value={workflow}
              onChange={(event) => {
                setWorkflow(event.currentTarget.value);
                setVersion('');
              }}
            >
              {workflows.map((it) => (
                <option key={it.workflow}>{it.workflow}</option>
              ))}
            </select>
          )}
        </Field>
        <Field label="Version">
          {(props) => (
            <select {...props} value={version} onChange={(event) => setVersion(event.currentTarget.value)}>
              <option value="">The newest</option>
              {versions.map((it) => (
                <option key={it.version}>{it.version}</option>
              ))}
            </select>
          )}
        </Field>
      </div>
      <Field
        label="Id"
        hint="What it is about, such as order-4711. A start of an id that exists is refused. Empty: one is made."
      >
        {(props) => (
          <input
            {...props}
            autocomplete="off"
            spellcheck={false}
            maxLength={256}
            value={id}
            onInput={(event) => setId(event.currentTarget.value)}
          />
        )}
      </Field>
      <JsonField label="Input" text={input} onText={setInput} />
    </Form>
  );
}
