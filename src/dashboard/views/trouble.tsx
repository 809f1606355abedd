/** What needs somebody: messages that failed for good, failures by what they have in common, rooms that linger, channels that are unwell. */
import { useLocation } from 'wouter-preact';
import type { ChannelList } from '../../client/client.ts';
import { api, type Resource, useResource } from '../api.ts';
import { count, duration, words } from '../format.ts';
import { type LiveTotals, totals } from '../live.ts';
import { Badge, Card, Page, Stat, Tabs, type Tone } from '../ui/parts.tsx';
import { Empty, Loaded } from '../ui/states.tsx';
import { Table } from '../ui/table.tsx';
import { Failures } from './trouble-failures.tsx';
import { Letters } from './trouble-letters.tsx';
import { LingeringRooms } from './trouble-rooms.tsx';

const LOOK_EVERY_MS = 3_000;
const PARTS = ['letters', 'failures', 'rooms', 'channels'] as const;
type Part = (typeof PARTS)[number];
type Channel = ChannelList['channels'][number];

const CHANNEL_TONES: Readonly<Record<Channel['state'], Tone>> = {
  open: 'ok',
  slowed: 'warn',
  stopped: 'bad',
  ack_outage: 'unsure',
};

export function TroubleView() {
  const [path, navigate] = useLocation();
  const part: Part = PARTS.find((each) => path === `/trouble/${each}`) ?? 'letters';
  const listed = useResource(() => api().channels.list(), [], LOOK_EVERY_MS);
  const stages = totals.value?.stages;
  const channels = listed.data?.channels.map((channel) => seenByAll(channel, totals.value)) ?? [];
  const unwell = listed.data === undefined ? undefined : channels.filter(({ state }) => state !== 'open').length;
  return (
    <Page title="Trouble" lead="What failed, what lingers, and what to do about it.">
      <dl class="stats">
        <Stat
          label="Held rooms"
          value={count(stages?.held.rooms)}
          hint="wait for an operator"
          tone={(stages?.held.rooms ?? 0) > 0 ? 'warn' : 'calm'}
        />
        <Stat label="Outcome unknown" value={count(stages?.unknown.rooms)} hint="rooms that wait for evidence" />
        <Stat label="Backing off" value={count(stages?.backingOff.rooms)} hint="rooms that try again later" />
        <Stat
          label="Unwell channels"
          value={count(unwell)}
          hint={unwell === undefined ? 'of –' : `of ${count(channels.length)}`}
          tone={(unwell ?? 0) > 0 ? 'bad' : 'calm'}
        />
      </dl>
      <div class="trouble-tabs">
        <Tabs
          label="Kind of trouble"
          value={part}
          tabs={[
            { value: 'letters', label: 'Dead letters' },
            { value: 'failures', label: 'Failures' },
            { value: 'rooms', label: 'Rooms', count: stages?.held.rooms || undefined },
            { value: 'channels', label: 'Channels', count: unwell || undefined },
          ]}
          onChange={(to) => navigate(to === 'letters' ? '/trouble' : `/trouble/${to}`)}
        />
      </div>
      {part === 'letters' && <Letters channels={channels} />}
      {part === 'failures' && <Failures />}
      {part === 'rooms' && <LingeringRooms held={stages?.held.rooms} />}
      {part === 'channels' && <Channels of={listed} channels={channels} />}
    </Page>
  );
}

/** The process that is asked knows a channel as it does itself; the feed says the worst that any of them sees. */
function seenByAll(channel: Channel, live: LiveTotals | null): Channel {
  const found = live?.channels.find((each) => each.tenant === channel.tenant && each.channel === channel.channel);
  if (found === undefined || found.state === 'open' || channel.state !== 'open') return channel;
  return { ...channel, state: found.state, reason: found.reason, until: found.until };
}

function unsettledOf({ tenant, channel }: Channel, live: LiveTotals | null): number | null {
  const found = live?.channels.find((each) => each.tenant === tenant && each.channel === channel);
  if (found === undefined) return null;
  const { waiting, sending, awaitingAck, backingOff, unknown, held } = found.stages;
  return [waiting, sending, awaitingAck, backingOff, unknown, held].reduce((sum, { messages }) => sum + messages, 0);
}

interface ChannelsProps {
  readonly of: Resource<ChannelList>;
  readonly channels: readonly Channel[];
}

function Channels({ of, channels }: ChannelsProps) {
  return (
    <Card title="Channels" hint="Those that are unwell come first." flush>
      <Loaded of={of} what="Asking for the channels">
        {() =>
          channels.length === 0 ? (
            <Empty title="There are no channels">Configure one, and it is here.</Empty>
          ) : (
            <Table
              caption="Channels"
              rows={channels.toSorted((a, b) => Number(a.state === 'open') - Number(b.state === 'open'))}
              rowKey={({ tenant, channel }) => `${tenant}/${channel}`}
              columns={[
                { key: 'channel', title: 'Channel', cell: (each) => <ChannelName {...each} /> },
                {
                  key: 'state',
                  title: 'State',
                  cell: ({ state }) => (
                    <Badge tone={CHANNEL_TONES[state]}>{state === 'open' ? 'ok' : words(state)}</Badge>
                  ),
                },
                { key: 'why', title: 'What that means', cell: meaningOf },
                {
                  key: 'waiting',
                  title: 'Unsettled',
                  end: true,
                  cell: (channel) => count(unsettledOf(channel, totals.value)),
                },
              ]}
            />
          )
        }
      </Loaded>
    </Card>
  );
}

function ChannelName({ tenant, channel, platform }: Channel) {
  return (
    <>
      <strong>{channel}</strong>
      <div class="muted small">
        {tenant === 'default' ? '' : `${tenant} · `}
        {platform}
      </div>
    </>
  );
}

function meaningOf({ state, reason, since, until, ackTimeoutMs }: Channel): string {
  const for_ = since === null ? '' : ` for ${duration(Date.now() - since)}`;
  switch (state) {
    case 'open':
      return ackTimeoutMs === null ? 'Sends.' : `Sends; a message waits up to ${duration(ackTimeoutMs)} for its ack.`;
    case 'slowed': {
      const left = until === null ? '' : `, ${duration(Math.max(0, until - Date.now()))} more`;
      return `The platform asked for less (${words(reason ?? 'limit')})${left}. Nothing is lost, no attempt is used up.`;
    }
    case 'stopped':
      return `Stopped${for_}: ${words(reason ?? 'no answer')}. It is probed until it answers; rooms wait.`;
    case 'ack_outage':
      return `No acks${for_}. Messages go on without them; their order is assumed, not proven.`;
    default:
      return state satisfies never;
  }
}
