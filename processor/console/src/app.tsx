// The frame of the page: who asks, where one can go, and the view of the address.
import { useEffect } from 'preact/hooks';
import { get, path } from './api/client';
import { asFailure } from './api/failure';
import { caller, forget, isAsked, token } from './api/session';
import type { Caller } from './api/types';
import { Help, isHelpOpen, useKeys } from './ui/keys';
import { Button, Empty } from './ui/parts';
import { address, go, Link } from './ui/router';
import { SaidList } from './ui/said';
import { type Theme, theme } from './ui/theme';
import { useTitle } from './ui/use';
import { DeadLetters } from './views/dead-letters';
import { Definition } from './views/definition';
import { Definitions } from './views/definitions';
import { Fleet } from './views/fleet';
import { Incidents } from './views/incidents';
import { Instance } from './views/instance';
import { Instances } from './views/instances';
import { SignIn } from './views/sign-in';

const PLACES: [string, string][] = [
  ['instances', 'Instances'],
  ['incidents', 'Incidents'],
  ['definitions', 'Definitions'],
  ['fleet', 'Fleet'],
  ['dead-letters', 'Dead letters'],
];

export function App() {
  useKeys();
  useCaller();
  const isUnknown = isAsked.value && caller.value === undefined;
  const [place] = address.value.parts;
  return (
    <>
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <header class="bar">
        <Link to={['instances']} class="brand" label="Millrace: instances">
          <img src={`${import.meta.env.BASE_URL}icon.svg`} width="22" height="22" alt="" />
          <span>Millrace</span>
        </Link>
        <nav aria-label="Views">
          {PLACES.map(([part, name]) => (
            <Link key={part} to={[part]} current={place === part}>
              {name}
            </Link>
          ))}
        </nav>
        <div class="who">
          <Who />
          <label class="theme">
            <span class="unseen">Colours</span>
            <select
              value={theme.value}
              onChange={(event) => {
                theme.value = event.currentTarget.value as Theme;
              }}
            >
              <option value="system">As the system</option>
              <option value="light">Light</option>
              <option value="dark">Dark</option>
            </select>
          </label>
          <Button
            kind="quiet"
            label="Keys"
            onClick={() => {
              isHelpOpen.value = true;
            }}
          >
            ?
          </Button>
        </div>
      </header>
      <main id="content" tabIndex={-1}>
        {isUnknown ? <SignIn /> : <View />}
      </main>
      <SaidList />
      <Help />
    </>
  );
}

/** When nobody has answered who asks. */
const AGAIN_MS = 2_000;

/** Finds out who asks, whenever another token is shown. */
function useCaller(): void {
  const shown = token.value;
  useEffect(() => {
    // It is known already that somebody has to say who he is.
    if (shown === undefined && isAsked.peek()) return;
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const find = () =>
      get<Caller>(path(['caller']), controller.signal).then(
        (found) => {
          if (token.value !== shown) return;
          caller.value = found;
          isAsked.value = false;
        },
        (thrown) => {
          if (controller.signal.aborted || token.value !== shown) return;
          const failure = asFailure(thrown);
          // A token of somebody who has no role here is no token for this page.
          if (failure.status === 403) forget(failure.message);
          else timer = setTimeout(find, AGAIN_MS);
        },
      );
    void find();
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, [shown]);
}

function Who() {
  const known = caller.value;
  if (!known) return null;
  const role = <span class="role">{known.role}</span>;
  if (!known.takes_tokens) {
    return (
      <span class="caller" title="This API asks nobody who he is: whoever reaches it may do everything">
        no token needed {role}
      </span>
    );
  }
  return (
    <>
      <span class="caller">
        {known.name} {role}
      </span>
      <Button kind="quiet" onClick={() => forget()}>
        Sign out
      </Button>
    </>
  );
}

function View() {
  const [place, ...rest] = address.value.parts;
  useEffect(() => {
    if (place === undefined) go(['instances'], '', 'replace');
  }, [place]);
  switch (place) {
    case undefined:
      return null;
    case 'instances':
      return rest[0] === undefined ? <Instances /> : <Instance key={rest[0]} id={rest[0]} />;
    case 'incidents':
      return <Incidents />;
    case 'fleet':
      return <Fleet />;
    case 'definitions':
      return rest.length >= 2 ? (
        <Definition key={rest.slice(0, 2).join('/')} namespace={rest[0]!} name={rest[1]!} version={rest[2]} />
      ) : (
        <Definitions />
      );
    case 'dead-letters':
      return <DeadLetters />;
    default:
      return <NoSuchView />;
  }
}

function NoSuchView() {
  useTitle('No such page');
  return (
    <Empty title="There is no such page">
      <p>
        The address may be cut off. <Link to={['instances']}>Go to the instances</Link>.
      </p>
    </Empty>
  );
}
