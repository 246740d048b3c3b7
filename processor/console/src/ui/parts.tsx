// Small parts that all views are made of.
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import type { Failure } from '../api/failure';
import type { Link as Connection } from '../api/follow';
import { ago, dateTime } from '../model/format';
import { parse, pretty } from '../model/json';
import { now } from './clock';

/** A button. Why it cannot be used now is said to everybody: it stays in the order of tabs, and does nothing. */
export function Button({
  children,
  onClick,
  kind = 'plain',
  why,
  type = 'button',
  isBusy,
  label,
}: {
  children: ComponentChildren;
  onClick?: () => void;
  kind?: 'plain' | 'main' | 'danger' | 'quiet';
  why?: string;
  type?: 'button' | 'submit';
  isBusy?: boolean;
  label?: string;
}) {
  const isOff = why !== undefined || isBusy === true;
  return (
    <button
      type={type}
      class={`button ${kind}`}
      aria-disabled={isOff || undefined}
      aria-busy={isBusy || undefined}
      aria-label={label}
      title={why ?? label}
      onClick={(event) => {
        if (isOff) event.preventDefault();
        else onClick?.();
      }}
    >
      {children}
    </button>
  );
}

/** When something was or will be: how long ago, and exactly. */
export function When({ at }: { at: string }) {
  const time = Date.parse(at);
  if (Number.isNaN(time)) return <span>{at}</span>;
  return (
    <time dateTime={at} title={`${dateTime(at)} (${at})`} class="number">
      {ago(time, now.value)}
    </time>
  );
}

/** What went wrong, in the words of who knows it, and what can be done. */
export function Wrong({
  failure,
  retry,
  children,
}: {
  failure: Failure;
  retry?: () => void;
  children?: ComponentChildren;
}) {
  return (
    <div class="note wrong" role="alert">
      <p>
        {failure.message} {failure.code !== 'unreachable' && <code class="code">{failure.code}</code>}
      </p>
      {children}
      {retry && <Button onClick={retry}>Try again</Button>}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p class="loading" role="status">
      <span class="spinner" aria-hidden="true" /> Loading {what}…
    </p>
  );
}

/** Whether what is seen changes as it happens. */
export function Live({ link }: { link: Connection }) {
  const said = { live: 'Live', connecting: 'Connecting…', lost: 'Not live; trying again' }[link];
  return (
    <span class={`live is-${link}`} role="status" data-link={link}>
      {said}
    </span>
  );
}

export function Copy({ text, what }: { text: string; what: string }) {
  const [said, setSaid] = useState('Copy');
  const timer = useRef<ReturnType<typeof setTimeout>>();
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid('Copied');
    } catch {
      // Browsers give the clipboard only to pages from this machine or by TLS.
      setSaid('Select it, then copy by keyboard');
    }
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setSaid('Copy'), 2_000);
  };
  return (
    <button type="button" class="copy" onClick={copy} aria-label={`${said} ${what}`}>
      {said}
    </button>
  );
}

/** JSON, in full or folded. */
export function Json({ value, name, isOpen = true }: { value: unknown; name: string; isOpen?: boolean }) {
  const text = pretty(value);
  const lines = text.split('\n').length;
  return (
    <details class="json" open={isOpen && lines <= 40}>
      <summary>
        {name}
        {lines > 1 && <span class="faint number"> {lines} lines</span>}
      </summary>
      <div class="json-body">
        <Copy text={text} what={name} />
        <Scroll label={name} text>
          <pre>{text}</pre>
        </Scroll>
      </div>
    </details>
  );
}

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  error?: string;
}

export function Field({
  label,
  hint,
  error,
  children,
}: FieldProps & {
  children: (props: { id: string; 'aria-describedby'?: string; 'aria-invalid'?: boolean }) => JSX.Element;
}) {
  const id = useId();
  const said = `${id}-said`;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, 'aria-describedby': hint || error ? said : undefined, 'aria-invalid': error ? true : undefined })}
      {(hint || error) && (
        <p class={error ? 'hint bad' : 'hint'} id={said}>
          {error ?? hint}
        </p>
      )}
    </div>
  );
}

/** A text of JSON, with what is wrong with it as long as something is. */
export function JsonField({
  label,
  hint,
  text,
  onText,
  rows = 8,
}: FieldProps & { text: string; onText: (text: string) => void; rows?: number }) {
  const parsed = parse(text);
  return (
    <Field label={label} hint={hint} error={'error' in parsed ? parsed.error : undefined}>
      {(props) => (
        <textarea
          {...props}
          class="code"
          rows={rows}
          spellcheck={false}
          autocomplete="off"
          value={text}
          onInput={(event) => onText(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

export function Facts({ children }: { children: ComponentChildren }) {
  return <dl class="facts">{children}</dl>;
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** What scrolls: a table on a narrow screen, a long text. */
export function Scroll({ label, text, children }: { label: string; text?: boolean; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
    <section class={text ? 'text' : 'scroll'} aria-label={label} tabIndex={0}>
      {children}
    </section>
  );
}
