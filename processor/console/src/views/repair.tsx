// Gives a task another input, or leaves it out.
import { useEffect, useState } from 'preact/hooks';
import { act } from '../api/act';
import { get, path } from '../api/client';
import { taskName } from '../model/format';
import { parse, pretty } from '../model/json';
import { outcomeOf } from '../model/verbs';
import { Form } from '../ui/dialog';
import { JsonField } from '../ui/parts';
import { say } from '../ui/said';
import { Reason } from './on-chosen';

interface Entered {
  entered?: { input?: unknown };
}

/** What flowed to a task when it was entered last, to begin with. */
function useInput(id: string, task: string, known: unknown): [string, (text: string) => void, boolean] {
  const [text, setText] = useState(known === undefined || known === null ? '' : pretty(known));
  const [isLoading, setLoading] = useState(known === undefined || known === null);
  useEffect(() => {
    if (!isLoading) return;
    const controller = new AbortController();
    const done = (input: unknown) => {
      if (controller.signal.aborted) return;
      // What was written meanwhile stays.
      setText((it) => (it === '' ? pretty(input) : it));
      setLoading(false);
    };
    get<Entered>(path(['instances', id, 'rewound'], { task }), controller.signal).then(
      (it) => done(it.entered?.input ?? {}),
      () => done({}),
    );
    return () => controller.abort();
  }, [id, task, isLoading]);
  return [text, setText, isLoading];
}

export function EditForm({
  id,
  task,
  input,
  isHalted,
  onClose,
}: {
  id: string;
  task: string;
  input?: unknown;
  isHalted?: boolean;
  onClose: () => void;
}) {
  const [text, setText, isLoading] = useInput(id, task, input);
  const [reason, setReason] = useState('');
  const [retries, setRetries] = useState(isHalted === true);
  const parsed = parse(text);
  const why = isLoading ? 'Its input is being looked up' : 'error' in parsed ? parsed.error : undefined;
  const submit = async () => {
    if ('error' in parsed) return;
    const verb = retries ? 'retry' : 'edit';
    const outcome = outcomeOf(await act(id, verb, { task, input: parsed.value, reason }));
    say(`Another input for ${taskName(task)}: ${outcome}`);
  };
  return (
    <Form
      title={`Edit the input of ${taskName(task)}`}
      verb={retries ? 'Save and retry' : 'Save'}
      why={why}
      act={submit}
      onClose={onClose}
      wide
    >
      <JsonField
        label="Input"
        hint="What it is given instead of what flowed to it, before its own input.from."
        text={text}
        onText={setText}
        rows={12}
      />
      <Reason text={reason} onText={setReason} />
      {isHalted && (
        <label class="check">
          <input type="checkbox" checked={retries} onChange={(event) => setRetries(event.currentTarget.checked)} />
          <span>
            Retry it with this input at once
            <span class="hint">Otherwise it begins again when the instance is resumed.</span>
          </span>
        </label>
      )}
    </Form>
  );
}

export function SkipForm({ id, task, onClose }: { id: string; task: string; onClose: () => void }) {
  const [text, setText] = useState('{}');
  const [reason, setReason] = useState('');
  const parsed = parse(text);
  const submit = async () => {
    if ('error' in parsed) return;
    say(`${taskName(task)} left out: ${outcomeOf(await act(id, 'skip', { task, output: parsed.value, reason }))}`);
  };
  return (
    <Form
      title={`Leave out ${taskName(task)}`}
      verb="Skip"
      why={'error' in parsed ? parsed.error : undefined}
      act={submit}
      onClose={onClose}
    >
      <JsonField
        label="Output"
        hint="What it gives instead; the instance goes on behind it."
        text={text}
        onText={setText}
      />
      <Reason text={reason} onText={setReason} />
    </Form>
  );
}
