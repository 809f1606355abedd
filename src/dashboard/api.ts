/** Who looks: the key of this browser tab, the client that carries it, and what is asked with it. */
import { computed, signal } from '@preact/signals';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { type KeyView, RoomlineApiError, RoomlineClient, RoomlineConnectionError } from '../client/client.ts';

const STORED_KEY = 'roomline.key';
const RETRIES = 1;
const TIMEOUT_MS = 12_000;

/** In the session's storage: it outlives a reload and no tab, and never is in an address. */
const key = signal<string | null>(sessionStorage.getItem(STORED_KEY));
/** Why one is signed out; null where nothing is to be said. */
export const signedOutBecause = signal<string | null>(null);
export const isSignedIn = computed(() => key.value !== null);

const clientNow = computed(() => (key.value === null ? null : clientWith(key.value)));

/** The client of whoever is signed in. */
export function api(): RoomlineClient {
  const client = clientNow.value;
  if (client === null) throw new Error('nobody is signed in');
  return client;
}

const ownKeys = new WeakMap<RoomlineClient, Promise<KeyView>>();

/** What whoever is signed in may do: what they may not is not asked for. */
export function ownKey(): Promise<KeyView> {
  const client = api();
  const known = ownKeys.get(client);
  if (known !== undefined) return known;
  const asked = client.key().catch((error: unknown) => {
    ownKeys.delete(client);
    throw error;
  });
  ownKeys.set(client, asked);
  return asked;
}

/** @throws RoomlineApiError where the key may not look, RoomlineConnectionError where nothing answers */
export async function signIn(candidate: string): Promise<void> {
  const client = clientWith(candidate, { signsOut: false });
  await client.pipeline();
  sessionStorage.setItem(STORED_KEY, candidate);
  signedOutBecause.value = null;
  key.value = candidate;
}

export function signOut(because: string | null = null): void {
  sessionStorage.removeItem(STORED_KEY);
  signedOutBecause.value = because;
  key.value = null;
}

function clientWith(bearer: string, { signsOut = true } = {}): RoomlineClient {
  return new RoomlineClient({
    url: location.origin,
    key: bearer,
    retries: RETRIES,
    timeoutMs: TIMEOUT_MS,
    async fetch(input, init) {
      const response = await fetch(input, init);
      if (response.status === 401 && signsOut && key.peek() === bearer) {
        signOut('The key is not accepted any more. Sign in with one that is.');
      }
      return response;
    },
  });
}

/** A failure in words for people: what happened, and what to do about it. */
export interface Trouble {
  readonly title: string;
  readonly detail: string;
  readonly action: string | null;
  readonly code: string | null;
  readonly requestId: string | null;
}

export function troubleOf(error: unknown): Trouble {
  if (error instanceof RoomlineApiError) {
    const { code, detail, action = null, requestId = null } = error;
    const title = TITLES[code] ?? 'Roomline refused this';
    return { title, detail, action, code, requestId };
  }
  if (error instanceof RoomlineConnectionError) {
    const detail = 'The server could not be reached, or gave no answer that can be read.';
    return { title: 'No answer', detail, action: 'It is asked again.', code: null, requestId: null };
  }
  throw error;
}

const TITLES: Readonly<Record<string, string>> = {
  unauthorized: 'The key is not accepted',
  forbidden_scope: 'This key may not do that',
  not_found: 'There is nothing here',
  room_not_found: 'No such room',
  message_not_found: 'No such message',
  rate_limited: 'Too many requests',
  not_ready: 'Not ready',
  overloaded: 'Overloaded',
};

export function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof RoomlineApiError && codes.includes(error.code);
}

/** Whether anybody looks: nothing is asked while the page is hidden. */
export const isVisible = signal(!document.hidden);
document.addEventListener('visibilitychange', () => {
  isVisible.value = !document.hidden;
});

export interface Resource<T> {
  /** The last answer; it stays while a newer one is asked for, or fails to come. */
  readonly data: T | undefined;
  readonly error: unknown;
  readonly loading: boolean;
  /** Asks again; resolves when an answer that was asked for after the call is shown, or has failed to come. */
  readonly refresh: () => Promise<void>;
}

/**
 * Asks when the component appears, when anything in `dependencies` changes and, while the page is visible, every
 * `everyMs` after the last answer; null asks once.
 */
export function useResource<T>(
  load: () => Promise<T>,
  dependencies: readonly unknown[],
  everyMs: number | null = null,
): Resource<T> {
  const [state, setState] = useState<{ data?: T; error?: unknown; loading: boolean }>({ loading: true });
  const latest = useRef(load);
  latest.current = load;
  const round = useRef(0);
  const newest = useRef<{ readonly round: number; readonly over: Promise<void> }>();
  const visible = isVisible.value;

  const refresh = useCallback((): Promise<void> => {
    round.current += 1;
    const mine = round.current;
    const ask = async (): Promise<void> => {
      try {
        const data = await latest.current();
        if (mine === round.current) setState({ data, loading: false });
      } catch (error) {
        if (mine === round.current)
          setState(({ data }) => ({ ...(data === undefined ? {} : { data }), error, loading: false }));
      }
      // Another was asked meanwhile, so this answer is not shown: whoever waits for it waits for that one.
      if (newest.current !== undefined && newest.current.round > mine) await newest.current.over;
    };
    const over = ask();
    newest.current = { round: mine, over };
    return over;
  }, []);

  const identity = JSON.stringify(dependencies);
  useEffect(() => {
    setState({ loading: true });
  }, [identity]);
  useEffect(() => {
    if (!visible) return undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let over = false;
    const ask = async (): Promise<void> => {
      // It may have been hidden since, and what that changes be drawn later.
      if (isVisible.peek()) await refresh();
      if (!over && everyMs !== null) timer = setTimeout(ask, everyMs);
    };
    void ask();
    return () => {
      over = true;
      round.current += 1;
      clearTimeout(timer);
    };
  }, [identity, everyMs, visible]);

  const { data, error, loading } = state;
  return { data, error, loading, refresh };
}
