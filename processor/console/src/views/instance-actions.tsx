// What can be done with an instance as a whole.
import { useState } from 'preact/hooks';
import { act } from '../api/act';
import { mayWrite } from '../api/session';
import type { Instance, Node } from '../api/types';
import { taskName } from '../model/format';
import { parse } from '../model/json';
import { hasEnded, outcomeOf, VERBS, type Verb } from '../model/verbs';
import { Form } from '../ui/dialog';
import { Button, Field, JsonField } from '../ui/parts';
import { say } from '../ui/said';
import { Compensate, Reason } from './on-chosen';

/** In a short form, only what goes on with it or ends it. */
export function InstanceActions({
  instance,
  nodes,
  isShort,
}: {
  instance: Instance;
  nodes: Node[];
  isShort?: boolean;
}) {
  const [open, setOpen] = useState<Verb | 'signal' | 'restart'>();
  if (!mayWrite.value) return null;
  const { id, status } = instance;
  const close = () => setOpen(undefined);
  const verbs = (['retry', 'resume', 'suspend', 'cancel'] as const).filter((it) => VERBS[it].fits.includes(status));
  return (
    <div class="actions">
      {!hasEnded(status) && !isShort && <Button onClick={() => setOpen('signal')}>Signal…</Button>}
      {verbs.map((it) => (
        <Button
          key={it}
          kind={
            it === 'cancel'
              ? 'danger'
              : it === 'retry' || (it === 'resume' && status === 'suspended')
                ? 'main'
                : 'plain'
          }
          onClick={() => setOpen(it)}
        >
          {it === 'retry' ? 'Retry all…' : `${VERBS[it].name}…`}
        </Button>
      ))}
      {!isShort && <Button onClick={() => setOpen('restart')}>Restart from…</Button>}
      {open === 'signal' && <SignalForm id={id} onClose={close} />}
      {open === 'restart' && <RestartForm id={id} nodes={nodes} onClose={close} />}
      {open && open !== 'signal' && open !== 'restart' && <VerbForm id={id} verb={open} onClose={close} />}
    </div>
  );
}

function VerbForm({ id, verb, onClose }: { id: string; verb: Verb; onClose: () => void }) {
  const [reason, setReason] = useState('');
  const [compensate, setCompensate] = useState(false);
  const { name, does } = VERBS[verb];
  const submit = async () => {
    const body = verb === 'cancel' ? { reason, compensate } : { reason };
    say(`${name}: ${outcomeOf(await act(id, verb, body))}`);
  };
  return (
    <Form
      title={`${name} ${id}`}
      verb={name}
      kind={verb === 'cancel' ? 'danger' : 'main'}
      act={submit}
      onClose={onClose}
    >
      <p>{does}</p>
      <Reason text={reason} onText={setReason} />
      {verb === 'cancel' && <Compensate isOn={compensate} onChange={setCompensate} />}
    </Form>
  );
}

function SignalForm({ id, onClose }: { id: string; onClose: () => void }) {
  const [type, setType] = useState('');
  const [data, setData] = useState('{}');
  const [now, setNow] = useState(false);
  const parsed = parse(data);
  const why = type.trim() === '' ? 'Write the type of the event' : 'error' in parsed ? parsed.error : undefined;
  const submit = async () => {
    if ('error' in parsed) return;
    say(
      `Signal: ${outcomeOf(await act(id, 'signals', { type: type.trim(), data: parsed.value, now: now || undefined }))}`,
    );
  };
  return (
    <Form title={`Send an event to ${id}`} verb="Send" why={why} act={submit} onClose={onClose}>
      <Field
        label="Type"
        hint="Of the CloudEvent, such as shop.courier.delivered: what a listen of the workflow waits for."
      >
        {(props) => (
          <input
            {...props}
            autocomplete="off"
            spellcheck={false}
            value={type}
            onInput={(event) => setType(event.currentTarget.value)}
          />
        )}
      </Field>
      <JsonField label="Data" text={data} onText={setData} />
      <label class="check">
        <input type="checkbox" checked={now} onChange={(event) => setNow(event.currentTarget.checked)} />
        <span>
          Only if it is taken at once
          <span class="hint">Otherwise it waits until the workflow listens.</span>
        </span>
      </label>
    </Form>
  );
}

function RestartForm({ id, nodes, onClose }: { id: string; nodes: Node[]; onClose: () => void }) {
  const tasks = nodes.filter((it) => it.kind !== 'start' && it.kind !== 'end');
  const reached = tasks.filter((it) => (it.state?.entered ?? 0) > 0);
  const [from, setFrom] = useState(reached.at(0)?.id ?? tasks.at(0)?.id ?? '');
  const [isOther, setOther] = useState(false);
  const [input, setInput] = useState('{}');
  const [reason, setReason] = useState('');
  const parsed = parse(input);
  const why =
    from === '' ? 'Its definition is not known here' : isOther && 'error' in parsed ? parsed.error : undefined;
  const submit = async () => {
    const other = isOther && 'value' in parsed ? parsed.value : undefined;
    say(`Restart from ${taskName(from)}: ${outcomeOf(await act(id, 'restart', { from, input: other, reason }))}`);
  };
  return (
    <Form title={`Restart ${id}`} verb="Restart" why={why} act={submit} onClose={onClose}>
      <p>
        Everything from that task on runs again, with what flowed to it the last time. Effects of tasks that were done
        are not undone.
      </p>
      <Field label="From the task">
        {(props) => (
          <select {...props} value={from} onChange={(event) => setFrom(event.currentTarget.value)}>
            {tasks.map((it) => (
              <option key={it.id} value={it.id}>
                {`${it.name} (${it.kind}) ${it.id}`}
              </option>
            ))}
          </select>
        )}
      </Field>
      <label class="check">
        <input type="checkbox" checked={isOther} onChange={(event) => setOther(event.currentTarget.checked)} />
        <span>With another input</span>
      </label>
      {isOther && <JsonField label="Input" text={input} onText={setInput} />}
      <Reason text={reason} onText={setReason} />
    </Form>
  );
}
