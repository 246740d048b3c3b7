// A dialog: the browser's own, which keeps the focus, and gives it back.
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { asFailure, type Failure } from '../api/failure';
import { Button, Wrong } from './parts';

export function Dialog({
  title,
  onClose,
  children,
  wide,
}: {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  wide?: boolean;
}) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    // What is asked for comes first, and not the button that closes.
    dialog?.querySelector<HTMLElement>('input, select, textarea')?.focus();
    // The browser gives the focus back to where it was.
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={element}
      class={wide ? 'wide' : undefined}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <header>
        <h2 id={id}>{title}</h2>
        <Button kind="quiet" label="Close" onClick={onClose}>
          ×
        </Button>
      </header>
      {children}
    </dialog>
  );
}

/** A dialog that asks for something, does it, and stays with the reason if that was refused. */
export function Form({
  title,
  verb,
  kind = 'main',
  wide,
  why,
  act,
  onClose,
  children,
}: {
  title: string;
  /** On the button. */
  verb: string;
  kind?: 'main' | 'danger';
  wide?: boolean;
  /** Why it cannot be done as it is filled in. */
  why?: string;
  act: () => Promise<void>;
  onClose: () => void;
  children?: ComponentChildren;
}) {
  const [failure, setFailure] = useState<Failure>();
  const [isBusy, setBusy] = useState(false);
  const submit = async () => {
    if (why !== undefined || isBusy) return;
    setBusy(true);
    setFailure(undefined);
    try {
      await act();
      onClose();
    } catch (thrown) {
      setFailure(asFailure(thrown));
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose} wide={wide}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        {children}
        {failure && <Wrong failure={failure} />}
        <footer>
          <Button onClick={onClose}>Back</Button>
          <Button kind={kind} type="submit" why={why} isBusy={isBusy}>
            {verb}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
