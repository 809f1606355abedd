import { useState } from 'preact/hooks';
import { signedOutBecause, signIn, troubleOf } from './api.ts';
import { Button, Field } from './ui/parts.tsx';
import { Notice } from './ui/states.tsx';

/** The key goes from here into the session's storage and the header of requests, and nowhere else. */
export function SignIn() {
  const [candidate, setCandidate] = useState('');
  const [fault, setFault] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const because = signedOutBecause.value;

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const key = candidate.trim();
    if (key === '') return setFault('Enter a key.');
    setBusy(true);
    setFault(null);
    try {
      await signIn(key);
    } catch (error) {
      const { title, detail } = troubleOf(error);
      setFault(`${title}. ${detail}`);
      setBusy(false);
    }
  };

  return (
    <main class="signin">
      <form onSubmit={submit} aria-labelledby="signin-title">
        <p class="brand">
          <img src="/icon.svg" alt="" />
          Roomline
        </p>
        <h1 id="signin-title">Sign in</h1>
        {because !== null && <Notice tone="warn">{because}</Notice>}
        <Field
          label="API key"
          fault={fault}
          hint="To look it needs the scope read; to steer, operate. It is kept for this tab only."
        >
          {(ids) => (
            <input
              {...ids}
              class="input mono"
              type="password"
              name="key"
              autocomplete="off"
              spellcheck={false}
              placeholder="rl_…"
              aria-invalid={fault !== null}
              value={candidate}
              onInput={({ currentTarget }) => setCandidate(currentTarget.value)}
            />
          )}
        </Field>
        <Button kind="primary" type="submit" disabled={busy}>
          {busy ? 'Signing in …' : 'Sign in'}
        </Button>
      </form>
    </main>
  );
}
