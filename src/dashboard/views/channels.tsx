/** The channels, the ones in trouble first. */
import { useRef, useState } from 'preact/hooks';
import { duration, percent, rate, short, words } from '../format.ts';
import { type LiveTotals, useLive } from '../live.ts';
import { Badge, Button, Card, type Tone } from '../ui/parts.tsx';
import { Empty } from '../ui/states.tsx';
import { Table } from '../ui/table.tsx';
import { type Health, healthOf } from './channel-health.ts';
import { channelLabel } from './room-links.ts';

type Channel = LiveTotals['channels'][number];

const SHOWN = 12;
/** The worst first. */
const RANK: readonly Health[] = ['stopped', 'failing', 'ack outage', 'throttled', 'ok'];
const LOOK: Readonly<Record<Health, Tone>> = {
  ok: 'ok',
  throttled: 'warn',
  'ack outage': 'unsure',
  failing: 'bad',
  stopped: 'bad',
};

export interface ChannelTableProps {
  readonly channels: readonly Channel[];
  readonly picked: { readonly tenant: string; readonly channel: string } | null;
  readonly onPick: (channel: { readonly tenant: string; readonly channel: string } | null) => void;
}

export function ChannelTable({ channels, picked, onPick }: ChannelTableProps) {
  const [all, setAll] = useState(false);
  const ackRate = useAckRates();
  const sorted = channels
    .map((channel) => ({ ...channel, health: healthOf(channel) }))
    .sort((a, b) => RANK.indexOf(a.health) - RANK.indexOf(b.health) || channelLabel(a).localeCompare(channelLabel(b)));
  const shown = all ? sorted : sorted.slice(0, SHOWN);
  const isPicked = (one: Channel): boolean => one.tenant === picked?.tenant && one.channel === picked.channel;
  return (
    <Card
      title="Channels"
      flush
      actions={
        sorted.length > SHOWN && (
          <Button small kind="ghost" onClick={() => setAll(!all)}>
            {all ? `Show ${SHOWN}` : `Show all ${sorted.length}`}
          </Button>
        )
      }
    >
      {sorted.length === 0 ? (
        <Empty title="No channel yet">Channels are configured in files, or over the API.</Empty>
      ) : (
        <Table
          caption="Channels"
          rows={shown}
          rowKey={(one) => JSON.stringify([one.tenant, one.channel])}
          isSelected={isPicked}
          columns={[
            {
              key: 'channel',
              title: 'Channel',
              cell: (one) => (
                <button
                  type="button"
                  class="channel-pick"
                  aria-pressed={isPicked(one)}
                  onClick={() => onPick(isPicked(one) ? null : one)}
                >
                  {channelLabel(one)}
                </button>
              ),
            },
            {
              key: 'health',
              title: 'Health',
              cell: (one) => (
                <span class="row">
                  <Badge tone={LOOK[one.health]}>{one.health}</Badge>
                  {one.reason !== null && <span class="muted">{words(one.reason)}</span>}
                </span>
              ),
            },
            { key: 'waiting', title: 'Waiting', end: true, cell: (one) => short(one.stages.waiting.messages) },
            { key: 'sending', title: 'Sending', end: true, cell: (one) => short(one.stages.sending.messages) },
            {
              key: 'awaiting',
              title: 'Awaiting ack',
              end: true,
              cell: (one) => short(one.stages.awaitingAck.messages),
            },
            { key: 'held', title: 'Held', end: true, cell: (one) => short(one.stages.held.messages) },
            { key: 'settled', title: 'Settled', end: true, cell: (one) => `${rate(one.lastMinute.settled / 60)} /s` },
            { key: 'failed', title: 'Failed, 1 min', end: true, cell: (one) => short(one.lastMinute.failed) },
            { key: 'acks', title: 'Ack rate', end: true, cell: (one) => percent(ackRate(one)) },
            { key: 'timeout', title: 'Ack timeout', end: true, cell: (one) => duration(one.ackTimeoutMs) },
          ]}
        />
      )}
    </Card>
  );
}

/** What each half second weighs less than the one after it: half of it all is of the last half minute. */
const DECAY = 0.5 ** (1 / 60);

/** Acked of acked and assumed, by channel, smoothed: a half second has too few of them. */
function useAckRates(): (channel: Channel) => number | null {
  const sums = useRef(new Map<string, { readonly acked: number; readonly assumed: number }>());
  useLive({
    onTotals({ channels }) {
      sums.current = new Map(
        channels.map((one) => {
          const { acked = 0, assumed = 0 } = sums.current.get(channelLabel(one)) ?? {};
          const { counts } = one;
          return [
            channelLabel(one),
            { acked: acked * DECAY + counts.acked, assumed: assumed * DECAY + counts.assumed },
          ];
        }),
      );
    },
  });
  return (channel) => {
    const { acked = 0, assumed = 0 } = sums.current.get(channelLabel(channel)) ?? {};
    return acked + assumed < 0.5 ? null : acked / (acked + assumed);
  };
}
