// Does the same with each of the instances that were chosen, and says of each what became of it.
import { useEffect, useRef, useState } from 'preact/hooks';
import { act, each } from '../api/act';
import { asFailure } from '../api/failure';
import type { Row } from '../api/types';
import { counted } from '../model/format';
import { outcomeOf, VERBS, type Verb } from '../model/verbs';
import { Dialog } from '../ui/dialog';
import { Mark } from '../ui/marks';
import { Button, Field } from '../ui/parts';

interface Result {
  isAccepted: boolean;
  text: string;
}

export function OnChosen({
  verb,
  rows,
  onClose,
  onDone,
}: {
  verb: Verb;
  rows: Row[];
  onClose: () => void;
  onDone: () => void;
}) {
  const [chosen] = useState(rows);
  const [reason, setReason] = useState('');
  const [compensate, setCompensate] = useState(false);
  const [results, setResults] = useState<ReadonlyMap<string, Result>>();
  // Whoever closes the dialog stops what has not begun.
  const controller = useRef(new AbortController());
  useEffect(() => () => controller.current.abort(), []);
  const { name, does } = VERBS[verb];
  const isDone = results?.size === chosen.length;

  const run = async () => {
    setResults(new Map());
    const tell = (id: string, result: Result) => setResults((before) => new Map(before).set(id, result));
    await each(
      chosen,
      async ({ id }) => {
        try {
          const body = { reason, compensate: verb === 'cancel' && compensate ? true : undefined };
          tell(id, { isAccepted: true, text: outcomeOf(await act(id, verb, body)) });
        } catch (thrown) {
          tell(id, { isAccepted: false, text: asFailure(thrown).message });
        }
      },
      controller.current.signal,
    );
    onDone();
  };
  return (
    <Dialog title={`${name} ${counted(chosen.length, 'instance')}`} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (!results) void run();
        }}
      >
        {!results && (
          <>
            <p>{does}</p>
            <Reason text={reason} onText={setReason} />
            {verb === 'cancel' && <Compensate isOn={compensate} onChange={setCompensate} />}
          </>
        )}
        <ul class="results" aria-label="Chosen instances" aria-live="polite">
          {chosen.map((it) => {
            const result = results?.get(it.id);
            return (
              <li key={it.id}>
                {results && <Mark of={result ? (result.isAccepted ? 'completed' : 'faulted') : 'waiting'} />}
                <span class="id">{it.id}</span>
                <span class="faint">{result?.text ?? it.status}</span>
              </li>
            );
          })}
        </ul>
        <footer>
          <Button onClick={onClose}>{isDone ? 'Close' : results ? 'Stop' : 'Back'}</Button>
          {!isDone && (
            <Button kind={verb === 'cancel' ? 'danger' : 'main'} type="submit" isBusy={results !== undefined}>
              {name}
            </Button>
          )}
        </footer>
      </form>
    </Dialog>
  );
}

export function Reason({ text, onText }: { text: string; onText: (text: string) => void }) {
  return (
    <Field label="Reason" hint="For people; it is recorded in the history.">
      {(props) => (
        <input {...props} autocomplete="off" value={text} onInput={(event) => onText(event.currentTarget.value)} />
      )}
    </Field>
  );
}

export function Compensate({ isOn, onChange }: { isOn: boolean; onChange: (isOn: boolean) => void }) {
  return (
    <label class="check">
      <input type="checkbox" checked={isOn} onChange={(event) => onChange(event.currentTarget.checked)} />
      <span>
        Undo first what it has done
        <span class="hint">Runs the compensations of the tasks that have ended, the last one first.</span>
      </span>
    </label>
  );
}
