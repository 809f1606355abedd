/** Finding a room: by its name, by whom its messages go to, by the id of one of them, or because it waits. */
import { useState } from 'preact/hooks';
import { Link, useLocation, useSearchParams } from 'wouter-preact';
import type { RoomView } from '../../client/client.ts';
import { api, isCode, useResource } from '../api.ts';
import { count, counted, duration, words } from '../format.ts';
import { totals } from '../live.ts';
import { Badge, Button, Card, Page, Select, Tabs } from '../ui/parts.tsx';
import { SearchBox } from '../ui/search-box.tsx';
import { Empty, Failure, Loaded, Loading } from '../ui/states.tsx';
import { Table } from '../ui/table.tsx';
import { PHASE_LOOKS } from './lanes.ts';
import { channelLabel, roomHref } from './room-links.ts';

const PHASES = ['ready', 'waiting', 'sending', 'awaiting_ack', 'backing_off', 'unknown', 'held'] as const;
type Phase = (typeof PHASES)[number];
const LABELS: Readonly<Record<Phase, string>> = {
  ready: 'Ready',
  waiting: 'Waiting',
  sending: 'Sending',
  awaiting_ack: 'Awaiting ack',
  backing_off: 'Backing off',
  unknown: 'Unknown',
  held: 'Held',
};
const REFRESH_MS = 3_000;
const PAGE = 50;
/** Rooms are looked for in at most so many tenants at once. */
const MOST_TENANTS = 60;

interface Found {
  readonly rooms: readonly RoomView[];
  /** There are more. */
  readonly cut: boolean;
}

type Search =
  | { readonly at: 'none' }
  | { readonly at: 'looking' }
  | { readonly at: 'found'; readonly found: Found; readonly text: string }
  | { readonly at: 'failed'; readonly error: unknown };

export function RoomsView() {
  const [query, setQuery] = useSearchParams();
  const [, navigate] = useLocation();
  const [text, setText] = useState('');
  const [place, setPlace] = useState('');
  const [search, setSearch] = useState<Search>({ at: 'none' });
  const asked = query.get('phase') ?? '';
  const phase = PHASES.find((one) => one === asked) ?? null;
  const channels = totals.value?.channels ?? [];

  const find = async (event: Event): Promise<void> => {
    event.preventDefault();
    const wanted = text.trim();
    if (wanted === '') return;
    setSearch({ at: 'looking' });
    try {
      const named = await orNull(api().messages.get(wanted));
      if (named !== null) {
        navigate(roomHref(named, named.sequence));
        return;
      }
      const found = await findRooms(wanted, place === '' ? null : (JSON.parse(place) as [string, string]));
      const [only] = found.rooms;
      // The address names the room, never what was looked for: that may be whom its messages go to.
      if (found.rooms.length === 1 && only !== undefined) navigate(roomHref(only));
      else setSearch({ at: 'found', found, text: wanted });
    } catch (error) {
      setSearch({ at: 'failed', error });
    }
  };

  const lingering = useResource(
    () => api().rooms.lingering({ ...(phase === null ? {} : { phase }), limit: PAGE }),
    [phase],
    REFRESH_MS,
  );
  return (
    <Page title="Rooms" lead="Each end user on a channel is a room, with one ordered line of messages.">
      <Card title="Find a room">
        <search>
          <form class="find" onSubmit={find}>
            <SearchBox
              label="Room, recipient, or id of a message"
              placeholder="Room, recipient, or the id of a message"
              value={text}
              onInput={setText}
            />
            <Select
              label="Channel"
              value={place}
              options={[
                { value: '', label: 'Any channel' },
                ...channels.map((one) => ({
                  value: JSON.stringify([one.tenant, one.channel]),
                  label: channelLabel(one),
                })),
              ]}
              onChange={setPlace}
            />
            <Button kind="primary" type="submit" disabled={search.at === 'looking'}>
              Find
            </Button>
          </form>
        </search>
        <div aria-live="polite">
          {search.at === 'looking' && <Loading what="Looking" />}
          {search.at === 'failed' && <Failure error={search.error} />}
          {search.at === 'found' && search.found.rooms.length === 0 && (
            <Empty title="Nothing found" icon="search">
              No room is called “{search.text}” or has messages to it, and no message has that id.
            </Empty>
          )}
        </div>
      </Card>
      {search.at === 'found' && search.found.rooms.length > 0 && (
        <Card title={`${counted(search.found.rooms.length, 'room')} found`} flush>
          <RoomTable rooms={search.found.rooms} />
          {search.found.cut && <p class="muted table-foot">There are more. Choose a channel to see others.</p>}
        </Card>
      )}
      <Card
        title="Rooms that have stayed where they are"
        hint={`In one phase for more than two seconds, ${phase === null ? 'by phase, in each ' : ''}the longest first`}
        flush
        actions={
          <Tabs
            label="Phase"
            value={phase ?? 'all'}
            tabs={[
              { value: 'all' as const, label: 'All' },
              ...PHASES.map((value) => ({ value, label: LABELS[value] })),
            ]}
            onChange={(value) => setQuery(value === 'all' ? {} : { phase: value }, { replace: true })}
          />
        }
      >
        <Loaded of={lingering} what="Asking for rooms">
          {(data) =>
            data.rooms.length === 0 ? (
              <Empty title="Nothing lingers" icon="check">
                Every room that has something to do goes on within two seconds.
              </Empty>
            ) : (
              <>
                <RoomTable rooms={data.rooms} />
                {data.cursor !== null && (
                  <p class="muted table-foot">The first {count(data.rooms.length)}. Choose a phase to see others.</p>
                )}
              </>
            )
          }
        </Loaded>
      </Card>
    </Page>
  );
}

function RoomTable({ rooms }: { readonly rooms: readonly RoomView[] }) {
  return (
    <Table
      caption="Rooms"
      rows={rooms}
      rowKey={({ tenant, channel, room }) => JSON.stringify([tenant, channel, room])}
      columns={[
        {
          key: 'room',
          title: 'Room',
          cell: (one) => <Link href={roomHref(one, one.head ?? undefined)}>{one.room}</Link>,
        },
        { key: 'channel', title: 'Channel', cell: channelLabel },
        {
          key: 'phase',
          title: 'Phase',
          cell: ({ phase, reason }) => {
            const [tone, icon, label] = PHASE_LOOKS[phase];
            return (
              <Badge tone={tone} icon={icon}>
                {reason === null ? label : words(reason)}
              </Badge>
            );
          },
        },
        { key: 'for', title: 'For', end: true, cell: ({ asOf, since }) => duration(asOf - since) },
        { key: 'waiting', title: 'Open', end: true, cell: ({ counts }) => count(counts.waiting) },
        { key: 'why', title: 'Why', cell: ({ explanation }) => <span class="why-cell">{explanation}</span> },
      ]}
    />
  );
}

/** @param place tenant and channel; null: wherever there is one */
async function findRooms(text: string, place: readonly [string, string] | null): Promise<Found> {
  const places = place === null ? await allTenants() : [{ tenant: place[0], channel: place[1] }];
  const spellings = spellingsOf(text);
  const pages = await Promise.all(
    places
      .slice(0, MOST_TENANTS)
      .flatMap((where) =>
        spellings.map((recipient) => orNull(api().rooms.ofRecipient(recipient, { ...where, limit: PAGE }))),
      ),
  );
  const rooms = pages.flatMap((page) => page?.rooms ?? []);
  const byName = new Map(rooms.map((room) => [JSON.stringify([room.tenant, room.channel, room.room]), room]));
  const cut = places.length > MOST_TENANTS || pages.some((page) => page !== null && page.cursor !== null);
  return { rooms: [...byName.values()], cut };
}

async function allTenants(): Promise<readonly { readonly tenant: string }[]> {
  const { channels } = await api().channels.list();
  return [...new Set(channels.map(({ tenant }) => tenant))].map((tenant) => ({ tenant }));
}

/** A telephone number as it is, and with and without its plus; spaces and the like are for people. */
function spellingsOf(text: string): readonly string[] {
  const digits = /^\+?[\d\s()./-]{4,}$/.test(text) ? text.replaceAll(/\D/g, '') : '';
  return digits === '' ? [text] : [...new Set([text, digits, `+${digits}`])];
}

/** Null where there is no such thing, or no such thing could have that name. */
async function orNull<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (isCode(error, 'room_not_found', 'message_not_found', 'id_invalid', 'id_too_long')) return null;
    throw error;
  }
}
