// Does the same with all instances that match the filters, however many: says first how many are meant.
import { useEffect, useRef, useState } from 'preact/hooks';
import { batchLines } from '../api/batch';
import { lines, path } from '../api/client';
import { asFailure, type Failure } from '../api/failure';
import type { BatchLine, BatchRequest } from '../api/types';
import { type Filters, instantOf } from '../model/filters';
import { counted, number, words } from '../model/format';
import { VERBS, type Verb } from '../model/verbs';
import { Dialog } from '../ui/dialog';
import { Button, Field, Wrong } from '../ui/parts';
import { Compensate, Reason } from './on-chosen';

const MOST = 1_000;

interface Sum {
  accepted: number;
  refused: number;
  isOver: boolean;
  hasMore: boolean;
  words: string[];
}

export function Batch({ filters, onClose, onDone }: { filters: Filters; onClose: () => void; onDone: () => void }) {
  const [verb, setVerb] = useState<Verb>('retry');
  const [reason, setReason] = useState('');
  const [compensate, setCompensate] = useState(false);
  const [meant, setMeant] = useState<{ count: number; hasMore: boolean }>();
  const [done, setDone] = useState<Sum>();
  const [failure, setFailure] = useState<Failure>();
  // Where the one before has ended; the next begins behind it.
  const cursor = useRef<string>();
  const controller = useRef(new AbortController());
  useEffect(() => () => controller.current.abort(), []);

  const request = (dryRun: boolean): BatchRequest => ({
    filter: {
      workflow: filters.workflow!,
      status: filters.status,
      since: instantOf(filters.since),
      until: instantOf(filters.until),
      where: filters.where,
    },
    action: {
      verb,
      reason: reason || undefined,
      ...(verb === 'cancel' ? { compensate } : {}),
    } as BatchRequest['action'],
    dry_run: dryRun,
    limit: MOST,
    cursor: cursor.current,
    wait: !dryRun,
  });
  const ask = (dryRun: boolean) =>
    batchLines(lines<BatchLine>(path(['batch']), request(dryRun), controller.current.signal));

  const count = async () => {
    for await (const line of ask(true)) {
      if (line.type === 'end') setMeant({ count: line.instances, hasMore: line.has_more });
    }
  };
  const run = async () => {
    const sum = { accepted: 0, refused: 0, isOver: false, hasMore: false, words: [] as string[] };
    for await (const line of ask(false)) {
      if (line.type === 'end') Object.assign(sum, { isOver: true, hasMore: line.has_more });
      else {
        cursor.current = line.cursor;
        if (line.error) {
          sum.refused += 1;
          if (sum.words.length < 5) sum.words.push(`${line.id}: ${line.error.message}`);
        } else sum.accepted += 1;
      }
      setDone({ ...sum });
    }
    onDone();
  };
  const goOn = () => {
    setDone(undefined);
    setMeant(undefined);
    void guarded(count);
  };
  const guarded = async (work: () => Promise<void>) => {
    setFailure(undefined);
    try {
      await work();
    } catch (thrown) {
      if (!controller.current.signal.aborted) setFailure(asFailure(thrown));
    }
  };
  const changed =
    <T,>(set: (value: T) => void) =>
    (value: T) => {
      setMeant(undefined);
      set(value);
    };
  return (
    <Dialog title={`All instances of ${filters.workflow} that match`} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void guarded(meant ? run : count);
        }}
      >
        <Field label="What to do with them" hint={VERBS[verb].does}>
          {(props) => (
            <select {...props} value={verb} onChange={(event) => changed(setVerb)(event.currentTarget.value as Verb)}>
              {(Object.keys(VERBS) as Verb[]).map((it) => (
                <option key={it} value={it}>
                  {words(it)}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Reason text={reason} onText={setReason} />
        {verb === 'cancel' && <Compensate isOn={compensate} onChange={setCompensate} />}
        <div role="status">
          {meant && !done && (
            <p class="note">
              {counted(meant.count, 'instance')} {meant.count === 1 ? 'is' : 'are'} meant, as the list was some seconds
              ago.
              {meant.hasMore && ` There are more: after these ${number(MOST)}, go on with those behind them.`}
            </p>
          )}
          {done && (
            <p class="note">
              {number(done.accepted)} accepted, {number(done.refused)} refused{done.isOver ? '.' : '…'}
            </p>
          )}
        </div>
        {done?.words.map((it) => (
          <p key={it} class="hint bad">
            {it}
          </p>
        ))}
        {failure && <Wrong failure={failure} />}
        <footer>
          <Button onClick={onClose}>{done?.isOver ? 'Close' : 'Back'}</Button>
          {done?.isOver && done.hasMore && <Button onClick={goOn}>Count the next</Button>}
          {!done && !meant && (
            <Button kind="main" type="submit">
              Count them
            </Button>
          )}
          {!done && meant && (
            <Button
              kind={verb === 'cancel' ? 'danger' : 'main'}
              type="submit"
              why={meant.count === 0 ? 'No instance matches' : undefined}
            >
              {VERBS[verb].name} {counted(meant.count, 'instance')}
            </Button>
          )}
        </footer>
      </form>
    </Dialog>
  );
}
