/** Messages that wait, turning over as they settle. A fixed number of places, however many messages there are. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { Link } from 'wouter-preact';
import { api, useResource } from '../api.ts';
import { duration } from '../format.ts';
import { type LiveSettlement, useLive } from '../live.ts';
import { isNarrow } from '../theme.ts';
import { Icon, type IconName } from '../ui/icons.tsx';
import type { Tone } from '../ui/parts.tsx';
import { PHASE_LOOKS } from './lanes.ts';
import { channelLabel, roomHref } from './room-links.ts';

interface Place {
  readonly tenant: string;
  readonly channel: string;
  readonly room: string;
  readonly sequence: number;
  readonly tone: Tone;
  readonly icon: IconName;
  readonly word: string;
  /** When it began to wait; null once it has settled. */
  readonly since: number | null;
  /** When it was last known to be so, on this machine's clock: settled, or still on the list of those that wait. */
  readonly seenAt: number;
}

const PLACES = 12;
const PLACES_NARROW = 6;
const REFILL_MS = 2_000;
const TURN_MS = 350;
/** A settled message stays as long, and one that waits no more without having been told to have settled. */
const STAYS_MS = 1_600;

/** Where a tile has less room for words than a room's page. */
const BRIEF: Readonly<Record<string, string>> = { ready: 'waiting', unknown: 'unknown' };

export function outcomeLook({
  outcome,
  level,
  late,
}: Pick<LiveSettlement, 'outcome' | 'level' | 'late'>): readonly [Tone, IconName, string] {
  if (late) return ['bad', 'cross', 'failed late'];
  if (outcome === 'acked') return ['ok', 'settled', level === 'none' ? 'acked' : level];
  if (outcome === 'assumed') return ['warn', 'half', 'assumed'];
  if (outcome === 'failed') return ['bad', 'cross', 'failed'];
  return ['calm', 'minus', outcome];
}

function idOf({ tenant, channel, room, sequence }: Pick<Place, 'tenant' | 'channel' | 'room' | 'sequence'>): string {
  return JSON.stringify([tenant, channel, room, sequence]);
}

export interface BoardProps {
  /** Null: of all channels. */
  readonly only: { readonly tenant: string; readonly channel: string } | null;
}

export function Board({ only }: BoardProps) {
  const size = isNarrow.value ? PLACES_NARROW : PLACES;
  const [places, setPlaces] = useState<readonly (Place | null)[]>(() => Array(size).fill(null));
  const [now, setNow] = useState(0);
  const settled = useRef(new Map<string, LiveSettlement>());
  const isMine = (one: { readonly tenant: string; readonly channel: string }): boolean =>
    only === null || (one.tenant === only.tenant && one.channel === only.channel);

  useLive({
    onSettled(batch) {
      // The newest of each frame are enough to fill every place.
      for (const one of batch.slice(-4 * PLACES)) if (isMine(one)) settled.current.set(idOf(one), one);
      while (settled.current.size > 8 * PLACES) settled.current.delete(settled.current.keys().next().value ?? '');
    },
  });
  const scope = only ?? {};
  const lingering = useResource(() => api().rooms.lingering({ ...scope, limit: 2 * PLACES }), [only], REFILL_MS);

  useEffect(() => {
    settled.current.clear();
    setPlaces(Array(size).fill(null));
  }, [only?.tenant, only?.channel, size]);

  const waiting = lingering.data;
  useEffect(() => {
    const turn = (): void => {
      setPlaces((before) => nextPlaces(before, settled.current, waiting?.rooms ?? [], performance.now()));
      setNow((waiting?.asOf ?? 0) + (performance.now() - heardAt));
    };
    const heardAt = performance.now();
    const timer = setInterval(turn, TURN_MS);
    turn();
    return () => clearInterval(timer);
  }, [waiting]);

  const shown = places.some((place) => place !== null);
  return (
    <>
      {!shown && <p class="muted">Nothing moves at the moment.</p>}
      <ul class="board" aria-label="Messages, waiting and just settled">
        {shown && places.map((place, index) => <Tile key={index} place={place} now={now} />)}
      </ul>
    </>
  );
}

type LingeringRooms = Awaited<ReturnType<ReturnType<typeof api>['rooms']['lingering']>>['rooms'];

/** Turns over what has settled, and gives places that are free, or whose message has been seen, to others. */
function nextPlaces(
  before: readonly (Place | null)[],
  settled: Map<string, LiveSettlement>,
  lingering: LingeringRooms,
  now: number,
): readonly (Place | null)[] {
  // What an operator must see to does not turn over by itself.
  const heads = lingering.flatMap((room) =>
    room.head === null || room.phase === 'held' || room.paused ? [] : [{ ...room, sequence: room.head }],
  );
  const listed = new Set(heads.map(idOf));
  const next = before.map((place) => {
    if (place === null || place.since === null) return place;
    const id = idOf(place);
    const settlement = settled.get(id);
    settled.delete(id);
    if (settlement !== undefined) return placeOf(settlement, now);
    return listed.has(id) ? { ...place, seenAt: now } : place;
  });
  const waiting = next.filter((place) => place !== null && place.since !== null).length;
  const shown = new Set(next.flatMap((place) => (place === null ? [] : [idOf(place)])));
  // They take two thirds of the places at most: one sees the settled ones as well.
  const most = Math.max(0, Math.floor((before.length * 2) / 3) - waiting);
  const waits = heads.filter((head) => !shown.has(idOf(head)) && !settled.has(idOf(head))).slice(0, most);
  let turn = 0;
  return next.map((place) => {
    if (place !== null && now - place.seenAt <= STAYS_MS) return place;
    turn += 1;
    const head = turn % 2 === 0 || settled.size === 0 ? waits.shift() : undefined;
    if (head !== undefined) {
      const [tone, icon, label] = PHASE_LOOKS[head.phase];
      const word = BRIEF[head.phase] ?? label;
      const { tenant, channel, room, sequence, since } = head;
      return { tenant, channel, room, sequence, tone, icon, word, since, seenAt: now };
    }
    const newest = [...settled].at(-1);
    // A settled one stays where nobody asks for its place.
    if (newest === undefined) return place?.since === null ? place : null;
    settled.delete(newest[0]);
    return placeOf(newest[1], now);
  });
}

function placeOf(settlement: LiveSettlement, now: number): Place {
  const { tenant, channel, room, sequence } = settlement;
  const [tone, icon, word] = outcomeLook(settlement);
  return { tenant, channel, room, sequence, tone, icon, word, since: null, seenAt: now };
}

function Tile({ place, now }: { readonly place: Place | null; readonly now: number }) {
  if (place === null) {
    return (
      <li aria-hidden="true">
        <div class="tile vacant" />
      </li>
    );
  }
  const { tone, icon, word, room, sequence, since } = place;
  const turned = since === null;
  return (
    <li>
      {/* Another key is another element: its animation begins anew. */}
      <Link
        key={`${idOf(place)}${turned}`}
        href={roomHref(place, sequence)}
        class={`tile ${turned ? 'turned' : ''}`}
        data-tone={tone}
      >
        <span class="sign">
          <Icon name={icon} />
        </span>
        <span class="names">
          <strong>{room}</strong>
          <span class="what">
            message {sequence} · {channelLabel(place)}
          </span>
        </span>
        <span class="state-word number">
          {word}
          {since !== null && now > since && ` ${duration(Math.floor((now - since) / 100) * 100)}`}
        </span>
      </Link>
    </li>
  );
}
