/** Rooms that have been in one phase for longer than others. */
import { useState } from 'preact/hooks';
import { Link } from 'wouter-preact';
import type { RoomView } from '../../client/client.ts';
import { api, useResource } from '../api.ts';
import { count, counted, duration, fullTime } from '../format.ts';
import { Badge, Button, Card, Tabs } from '../ui/parts.tsx';
import { Empty, Loaded } from '../ui/states.tsx';
import { Table } from '../ui/table.tsx';
import { PHASE_LOOKS } from './lanes.ts';
import { channelLabel, roomHref } from './room-links.ts';

type Phase = Exclude<RoomView['phase'], 'idle'>;
const PHASES: readonly Phase[] = ['held', 'unknown', 'backing_off', 'waiting', 'ready', 'awaiting_ack', 'sending'];
type Choice = 'longest' | 'held' | 'unknown' | 'backing_off' | 'waiting';

const LOOK_EVERY_MS = 3_000;
const EACH = 30;
const SHOWN = 60;
const PAGE = 50;

interface Found {
  readonly rooms: readonly RoomView[];
  readonly unlisted: number;
  readonly cursor: string | null;
}

/** The API lists them phase by phase: the longest of all are among the longest of each. */
async function longest(): Promise<Found> {
  const pages = await Promise.all(PHASES.map((phase) => api().rooms.lingering({ phase, limit: EACH })));
  const rooms = pages.flatMap((page) => page.rooms).toSorted((a, b) => a.since - b.since);
  return { rooms: rooms.slice(0, SHOWN), unlisted: pages[0]?.unlisted ?? 0, cursor: null };
}

export function LingeringRooms({ held }: { readonly held: number | undefined }) {
  const [choice, setChoice] = useState<Choice>('longest');
  // Of the pages before: where each ended.
  const [cursors, setCursors] = useState<readonly string[]>([]);
  const cursor = cursors.at(-1);
  const found = useResource(
    async (): Promise<Found> =>
      choice === 'longest'
        ? longest()
        : api().rooms.lingering({ phase: choice, limit: PAGE, ...(cursor === undefined ? {} : { cursor }) }),
    [choice, cursor],
    LOOK_EVERY_MS,
  );
  const next = found.data?.cursor ?? null;
  return (
    <Card
      title="Rooms that wait"
      hint="More than two seconds in one phase; the longest first."
      flush
      actions={
        <Tabs
          label="Which rooms"
          value={choice}
          tabs={[
            { value: 'longest', label: 'Longest' },
            { value: 'held', label: 'Held', count: held || undefined },
            { value: 'unknown', label: 'Unknown' },
            { value: 'backing_off', label: 'Backing off' },
            { value: 'waiting', label: 'Waiting' },
          ]}
          onChange={(to) => {
            setChoice(to);
            setCursors([]);
          }}
        />
      }
    >
      <Loaded of={found} what="Asking which rooms linger">
        {({ rooms }) =>
          rooms.length === 0 ? (
            <Empty title={choice === 'held' ? 'No room is held' : 'No room lingers'} icon="check">
              {choice === 'held'
                ? 'A room is held where its policy leaves a failure to an operator.'
                : 'Every room gets on within two seconds.'}
            </Empty>
          ) : (
            <Table
              caption="Rooms that wait"
              rows={rooms}
              rowKey={({ tenant, channel, room }) => `${tenant}/${channel}/${room}`}
              columns={[
                { key: 'room', title: 'Room', cell: (room) => <Link href={roomHref(room)}>{room.room}</Link> },
                { key: 'channel', title: 'Channel', cell: channelLabel },
                {
                  key: 'phase',
                  title: 'Phase',
                  cell: ({ phase }) => <PhaseBadge phase={phase} />,
                },
                {
                  key: 'since',
                  title: 'For',
                  end: true,
                  cell: ({ since, asOf }) => (
                    <span class="nowrap" title={fullTime(since)}>
                      {duration(Math.max(0, asOf - since))}
                    </span>
                  ),
                },
                { key: 'why', title: 'Why', cell: ({ explanation }) => <span class="lingers">{explanation}</span> },
                { key: 'waiting', title: 'Unsettled', end: true, cell: ({ counts }) => count(counts.waiting) },
              ]}
            />
          )
        }
      </Loaded>
      {(found.data?.unlisted ?? 0) > 0 && (
        <p class="muted table-foot">{counted(found.data?.unlisted ?? 0, 'room')} more, not listed yet.</p>
      )}
      {(next !== null || cursors.length > 0) && (
        <div class="pager">
          <Button small disabled={cursors.length === 0} icon="back" onClick={() => setCursors(cursors.slice(0, -1))}>
            Before
          </Button>
          <Button small disabled={next === null} onClick={() => next !== null && setCursors([...cursors, next])}>
            More
          </Button>
        </div>
      )}
    </Card>
  );
}

function PhaseBadge({ phase }: Pick<RoomView, 'phase'>) {
  const [tone, icon, label] = PHASE_LOOKS[phase];
  return (
    <Badge tone={tone} icon={icon}>
      {label}
    </Badge>
  );
}
