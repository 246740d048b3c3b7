// Asks for a token.
import { useState } from 'preact/hooks';
import { refusal, show } from '../api/session';
import { Button, Field } from '../ui/parts';
import { useTitle } from '../ui/use';

export function SignIn() {
  const [text, setText] = useState('');
  useTitle('Sign in');
  const trimmed = text.trim();
  return (
    <section class="sign-in">
      <h1>Show who you are</h1>
      <p>
        This API asks for a token: one of the file that its operator keeps (<code>--http-tokens</code>), or one of the
        OpenID provider that it trusts. It is kept in this tab only, and shown to nobody but this place.
      </p>
      {refusal.value !== undefined && (
        <div class="note wrong" role="alert">
          <p>The token was not taken: {refusal.value}.</p>
          <p>Check that it is whole, that it is one for this fleet, and that it has not expired.</p>
        </div>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (trimmed !== '') show(trimmed);
        }}
      >
        <Field label="Token">
          {(props) => (
            <input
              {...props}
              type="password"
              autocomplete="off"
              spellcheck={false}
              value={text}
              onInput={(event) => setText(event.currentTarget.value)}
            />
          )}
        </Field>
        <Button kind="main" type="submit" why={trimmed === '' ? 'Paste a token first' : undefined}>
          Sign in
        </Button>
      </form>
    </section>
  );
}
