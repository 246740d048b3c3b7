// Records that could not be read or admitted; each can be produced again.
import { useState } from 'preact/hooks';
import { get, path, post } from '../api/client';
import { mayAdminister } from '../api/session';
import type { DeadLetter, DeadLetters as Page, Redriven } from '../api/types';
import { Form } from '../ui/dialog';
import { Button, Copy, Empty, Fact, Facts, Loading, Scroll, When, Wrong } from '../ui/parts';
import { address, Link } from '../ui/router';
import { say } from '../ui/said';
import { useBusy, useEvery, useLoaded, useTitle } from '../ui/use';

const PAGE = 50;
const EVERY_MS = 5_000;

export function DeadLetters() {
  useTitle('Dead letters');
  const cursor = new URLSearchParams(address.value.search).get('cursor') ?? undefined;
  const { data, failure, again } = useLoaded<Page>(path(['dead-letters'], { limit: PAGE, cursor }));
  // Older ones stay as they are.
  useEvery(() => cursor === undefined && again(), EVERY_MS);
  const letters = data?.dead_letters;
  return (
    <>
      <div class="head">
        <h1>Dead letters</h1>
        <span class="faint">Records that could not be read or admitted, newest first</span>
      </div>
      {failure && <Wrong failure={failure} retry={again} />}
      {!letters && !failure && <Loading what="dead letters" />}
      {letters?.length === 0 && (
        <Empty title={cursor ? 'There are no older ones' : 'No dead letters'}>
          {!cursor && <p>Everything that came in could be read, and had somewhere to go.</p>}
        </Empty>
      )}
      {letters && letters.length > 0 && (
        <ul class="cards">
          {letters.map((it) => (
            <Letter key={`${it.dead_letter_partition}/${it.dead_letter_offset}`} letter={it} />
          ))}
        </ul>
      )}
      <nav class="pages" aria-label="Pages">
        {cursor && <Link to={['dead-letters']}>Newest</Link>}
        {data?.next && (
          <Link to={['dead-letters']} search={new URLSearchParams({ cursor: data.next }).toString()}>
            Older
          </Link>
        )}
      </nav>
    </>
  );
}

function Letter({ letter }: { letter: DeadLetter }) {
  const [isOpen, setOpen] = useState(false);
  const [whole, setWhole] = useState<DeadLetter>();
  const [redriven, setRedriven] = useState<Redriven>();
  const [isBusy, failed, run] = useBusy();
  const { dead_letter_partition: partition, dead_letter_offset: offset } = letter;
  const place = ['dead-letters', String(partition), String(offset)];
  const { value, headers } = whole ?? letter;
  return (
    <li class="panel card" data-letter={`${partition}/${offset}`}>
      <div class="panel-head">
        <h2>{letter.reason.replaceAll('-', ' ')}</h2>
        <span class="faint">
          <When at={letter.at} />
        </span>
        <div class="actions">
          {mayAdminister.value && (
            <Button onClick={() => setOpen(true)} label={`Redrive the record of ${letter.key ?? 'no key'}`}>
              {redriven ? 'Redrive again…' : 'Redrive…'}
            </Button>
          )}
        </div>
      </div>
      <p>{letter.detail}</p>
      {redriven && (
        <p class="note good" role="status">
          Produced again: {redriven.topic}, partition {redriven.partition}, offset {redriven.offset}. The dead letter
          stays.
        </p>
      )}
      <Facts>
        <Fact name="Key">
          {letter.key === undefined ? <span class="faint">none</span> : <code class="code">{letter.key}</code>}
        </Fact>
        <Fact name="Came from">
          <span class="number">
            {letter.topic} {letter.partition}/{letter.offset}
          </span>
        </Fact>
        <Fact name="Dead letter">
          <span class="number">
            {partition}/{offset}
          </span>
        </Fact>
      </Facts>
      {headers.length > 0 && (
        <details class="json">
          <summary>Headers</summary>
          <Facts>
            {headers.map(([name, text], index) => (
              // A record may have a header twice.
              <Fact key={index} name={name ?? ''}>
                <code class="code">{text}</code>
              </Fact>
            ))}
          </Facts>
        </details>
      )}
      {value !== undefined && (
        <details class="json">
          <summary>Value</summary>
          <div class="json-body">
            <Copy text={value} what="the value" />
            <Scroll label="Value" text>
              <pre>{value}</pre>
            </Scroll>
          </div>
          {letter.is_value_cut && !whole && (
            <>
              {failed}
              <Button isBusy={isBusy} onClick={() => run(async () => setWhole(await get<DeadLetter>(path(place))))}>
                Load all of it
              </Button>
            </>
          )}
        </details>
      )}
      {isOpen && (
        <Form
          title="Produce the record again"
          verb="Redrive"
          act={async () => {
            setRedriven(await post<Redriven>(path([...place, 'redrive'])));
            say('The record is produced again');
          }}
          onClose={() => setOpen(false)}
        >
          <p>
            To {letter.topic}, with its key and its headers, and with headers that say so. Do it when the reason has
            gone: a workflow that was missing is deployed, a secret is there.
          </p>
        </Form>
      )}
    </li>
  );
}
