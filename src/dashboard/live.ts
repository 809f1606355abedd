/**
 * What happens now. One feed for the page while somebody looks at it; nothing is asked while the page is hidden. Events
 * are gathered and handed on once per frame, so that ten thousand of them cost one update.
 */
import { effect, signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { RoomlineApiError } from '../client/client.ts';
import type { LiveState } from '../client/live.ts';
import type { LiveEvent, LiveFilter, LiveSettlement, LiveTotals } from '../http/live-schemas.ts';
import { api, isSignedIn, isVisible } from './api.ts';

export type { LiveSettlement, LiveTotals } from '../http/live-schemas.ts';

/** `off`: nobody looks. */
export type Connection = 'off' | 'connecting' | 'live' | 'lost';
export const connection = signal<Connection>('off');
/** The latest; it stays while the feed is away. */
export const totals = signal<LiveTotals | null>(null);
/** Whether settlements of all processes are told, or of the asked one only. */
export const reach = signal<'fleet' | 'process'>('fleet');

/** More than this in a frame is not shown one by one anyway. */
const MAX_BATCH = 2_000;

export interface Reader {
  readonly onTotals?: (latest: LiveTotals) => void;
  /** Oldest first, bounded. */
  readonly onSettled?: (batch: readonly LiveSettlement[]) => void;
  readonly onReady?: () => void;
}

/** Hands on once per frame what came in since the last one. */
class Frame {
  readonly #readers: () => Iterable<Reader>;
  #settled: LiveSettlement[] = [];
  #latest: LiveTotals | null = null;
  #scheduled = 0;

  constructor(readers: () => Iterable<Reader>) {
    this.#readers = readers;
  }

  add(event: LiveEvent): void {
    if (event.event === 'totals') this.#latest = event.data;
    else if (event.event === 'settled' || event.event === 'failed') {
      if (this.#settled.length < MAX_BATCH) this.#settled.push(event.data);
    } else return;
    if (this.#scheduled === 0) this.#scheduled = requestAnimationFrame(() => this.#handOn());
  }

  drop(): void {
    cancelAnimationFrame(this.#scheduled);
    this.#scheduled = 0;
    this.#settled = [];
    this.#latest = null;
  }

  #handOn(): void {
    const settled = this.#settled;
    const latest = this.#latest;
    this.drop();
    for (const reader of this.#readers()) {
      if (latest !== null) reader.onTotals?.(latest);
      if (settled.length > 0) reader.onSettled?.(settled);
    }
  }
}

/** Reads a feed until the signal; the client connects it anew as long as nothing forbids it. */
async function read(
  filter: LiveFilter,
  readers: () => Iterable<Reader>,
  tell: (state: Connection) => void,
  ended: AbortSignal,
): Promise<void> {
  const frame = new Frame(readers);
  let wasOpen = false;
  const onState = ({ kind }: LiveState): void => {
    if (kind === 'open') wasOpen = true;
    if (kind === 'waiting') frame.drop();
    tell(kind === 'open' ? 'live' : kind === 'waiting' || wasOpen ? 'lost' : 'connecting');
  };
  try {
    for await (const event of api().live(filter, { signal: ended, onState })) {
      if (event.event === 'ready') {
        reach.value = event.data.reach;
        for (const reader of readers()) reader.onReady?.();
      } else frame.add(event);
    }
  } catch (error) {
    if (!(error instanceof RoomlineApiError)) throw error;
    // A key that may not listen will not be allowed to by asking again; a refused one has been signed out already.
    tell('lost');
  } finally {
    frame.drop();
  }
}

// The page's own feed: totals always, settlements while a view shows them.
const readers = new Set<Reader>();
const settlementsWanted = signal(0);

effect(() => {
  if (!isSignedIn.value || !isVisible.value) {
    connection.value = 'off';
    return undefined;
  }
  const events = settlementsWanted.value > 0 ? 'totals,settled,failed' : 'totals';
  const ended = new AbortController();
  const page: Reader = {
    onTotals(latest) {
      totals.value = latest;
    },
  };
  const tell = (state: Connection): void => {
    if (!ended.signal.aborted) connection.value = state;
  };
  void read({ events }, () => [page, ...readers], tell, ended.signal);
  return () => ended.abort();
});

/** Listens to the page's feed while the component is there. */
export function useLive(reader: Reader): void {
  const latest = useRef(reader);
  latest.current = reader;
  const settlements = reader.onSettled !== undefined;
  useEffect(() => {
    const mine: Reader = {
      onTotals: (one) => latest.current.onTotals?.(one),
      onSettled: (batch) => latest.current.onSettled?.(batch),
      onReady: () => latest.current.onReady?.(),
    };
    readers.add(mine);
    if (settlements) settlementsWanted.value += 1;
    return () => {
      readers.delete(mine);
      if (settlements) settlementsWanted.value -= 1;
    };
  }, [settlements]);
}

/** A feed of one room's settlements while the component is there and somebody looks. */
export function useLiveRoom(tenant: string, channel: string, room: string, onSettled: () => void): void {
  const latest = useRef(onSettled);
  latest.current = onSettled;
  const visible = isVisible.value;
  useEffect(() => {
    if (!visible) return undefined;
    const ended = new AbortController();
    const reader: Reader = { onSettled: () => latest.current(), onReady: () => latest.current() };
    void read(
      { tenant, channel, room, events: 'settled,failed' },
      () => [reader],
      () => undefined,
      ended.signal,
    );
    return () => ended.abort();
  }, [tenant, channel, room, visible]);
}
