/** The pipeline at a glance, as it is now and as it has been. */
import { useRef, useState } from 'preact/hooks';
import { useSearchParams } from 'wouter-preact';
import { api, useResource } from '../api.ts';
import { count, counted, duration, percent, rate, short, time } from '../format.ts';
import { connection, type LiveTotals, reach, totals, useLive } from '../live.ts';
import { Sparkline } from '../ui/chart.tsx';
import { Card, Page, Select, Share, Stat } from '../ui/parts.tsx';
import { Empty, Loading, Notice } from '../ui/states.tsx';
import { Board } from './board.tsx';
import { ChannelTable } from './channels.tsx';
import { History } from './history.tsx';
import { type Flow, PipelinePicture, type StageShown } from './pipeline-picture.tsx';
import { channelLabel } from './room-links.ts';

type Whole = Pick<
  LiveTotals,
  | 'stages'
  | 'permitQueue'
  | 'lastMinute'
  | 'counts'
  | 'acceptedPerSecond'
  | 'sentPerSecond'
  | 'settledPerSecond'
  | 'gapMs'
>;

interface Tick {
  readonly intervalMs: number;
  readonly counts: Whole['counts'];
  readonly gapMs: Whole['gapMs'];
}

/** Totals come every half second: a minute of them. */
const KEPT = 120;
/** What stands before the stages is not in the live feed. */
const BEFORE_MS = 3_000;
/** The gap is that of the last 20 s at the most. */
const GAP_TICKS = 40;
/** What is called the rate of now is that of the last so many. */
const NOW = 6;

export function OverviewView() {
  const [query, setQuery] = useSearchParams();
  const channel = query.get('channel');
  const tenant = query.get('tenant') ?? 'default';
  const only = channel === null ? null : { tenant, channel };
  const latest = totals.value;
  const pick = (one: { readonly tenant: string; readonly channel: string } | null): void => {
    setQuery(one === null ? {} : { channel: one.channel, ...(one.tenant === 'default' ? {} : { tenant: one.tenant }) });
  };
  const options = [
    { value: '', label: 'All channels' },
    ...(latest?.channels ?? []).map((one) => ({
      value: JSON.stringify([one.tenant, one.channel]),
      label: channelLabel(one),
    })),
  ];
  const choose = (value: string): void => {
    const [chosenTenant, chosenChannel] = value === '' ? [] : (JSON.parse(value) as [string, string]);
    pick(
      chosenTenant === undefined || chosenChannel === undefined
        ? null
        : { tenant: chosenTenant, channel: chosenChannel },
    );
  };
  return (
    <Page
      title="Overview"
      lead={<Lead latest={latest} />}
      actions={
        <Select
          label="Channel"
          value={only === null ? '' : JSON.stringify([tenant, channel])}
          options={options}
          onChange={choose}
        />
      }
    >
      {latest === null ? (
        <Card>
          {connection.value === 'lost' ? (
            <Empty title="Not connected" icon="unplugged" />
          ) : (
            <Loading what="Listening to the engine" />
          )}
        </Card>
      ) : (
        <Now key={only === null ? '' : JSON.stringify([tenant, channel])} latest={latest} only={only} />
      )}
      <Card title="As it happens" hint={settlementHint()}>
        <Board only={only} />
      </Card>
      {latest !== null && <ChannelTable channels={latest.channels} onPick={pick} picked={only} />}
      <History only={only} />
    </Page>
  );
}

function settlementHint(): string {
  return reach.value === 'process'
    ? 'Messages turn over as they settle: those of the process that is asked.'
    : 'Messages turn over as they settle. Where there are many, some of them.';
}

function Lead({ latest }: { readonly latest: LiveTotals | null }) {
  if (latest === null) return <>Where messages are, and how fast they go on.</>;
  const { asOf, processes, shards } = latest;
  return (
    <span class="number">
      {time(asOf)} · {counted(processes, 'process', 'processes')} · {count(shards.counted)} of {count(shards.total)}{' '}
      shards held
    </span>
  );
}

function Now({
  latest,
  only,
}: {
  readonly latest: LiveTotals;
  readonly only: { readonly tenant: string; readonly channel: string } | null;
}) {
  const ticks = useRef<Tick[]>([]);
  const [, draw] = useState(0);
  const wholeOf = (one: LiveTotals): Whole | undefined =>
    only === null
      ? one
      : one.channels.find(({ tenant, channel }) => tenant === only.tenant && channel === only.channel);
  useLive({
    onReady() {
      // What happened since the last one is not known.
      ticks.current = [];
    },
    onTotals(one) {
      const whole = wholeOf(one);
      if (whole === undefined || one.intervalMs === null) return;
      ticks.current.push({ intervalMs: one.intervalMs, counts: whole.counts, gapMs: whole.gapMs });
      if (ticks.current.length > KEPT) ticks.current.shift();
      draw((times) => times + 1);
    },
  });
  const whole = wholeOf(latest);
  const before = useResource(() => api().pipeline(), [], BEFORE_MS).data;
  if (whole === undefined) {
    return (
      <Card>
        <Empty title="No such channel">It is not configured, and no room of it has anything waiting.</Empty>
      </Card>
    );
  }
  const now = ticks.current.slice(-NOW);
  const flow: Flow = {
    accepted: perSecond(now, 'accepted'),
    sent: perSecond(now, 'attempts'),
    settled: settledPerSecond(now),
  };
  const heardMs = lengthOf(ticks.current);
  const span = heardMs > 55_000 ? '1 min' : `${Math.round(heardMs / 1_000)} s`;
  const minute = (name: keyof Whole['counts']): number => sumOf(ticks.current, name);
  const acked = minute('acked');
  const assumed = minute('assumed');
  const ackRate = acked + assumed === 0 ? null : acked / (acked + assumed);
  const gapTicks = ticks.current.slice(-GAP_TICKS);
  const gap = gapOf(gapTicks);
  const { stages } = whole;
  const open = unsettledIn(stages);
  const timeouts = minute('timeouts');
  const course = ticks.current.map((tick) => settledPerSecond([tick]));
  return (
    <>
      {!latest.complete && (
        <Notice tone="warn" title="Not all is counted.">
          {count(latest.shards.counted)} of {count(latest.shards.total)} shards have a holder that tells what is in
          them.
        </Notice>
      )}
      <Card class="pipeline-card">
        <PipelinePicture
          stages={[...entryOf(latest, before, only, flow), ...stagesOf(whole, flow, ackRate)]}
          flow={flow}
        />
      </Card>
      <dl class="stats">
        <Stat
          label="Throughput"
          value={rate(flow.settled)}
          unit="/s"
          hint={`${rate(flow.accepted)} in · ${rate(flow.sent)} sent`}
        >
          <Sparkline label="Messages settled per second, over the last minute" values={course} tone="info" />
        </Stat>
        <Stat label="Not settled" value={short(open)} hint={`in ${counted(roomsIn(stages), 'room')}`} />
        <Stat label={`Ack rate, ${span}`} value={percent(ackRate)} hint={`of ${counted(acked + assumed, 'message')}`}>
          {acked + assumed > 0 && (
            <Share
              label="Order in the last minute"
              parts={[
                { label: 'proven', value: acked, tone: 'ok' },
                { label: 'assumed', value: assumed, tone: 'warn' },
              ]}
            />
          )}
        </Stat>
        <Stat
          label={`Gap, ack to next send, ${Math.round(lengthOf(gapTicks) / 1_000)} s`}
          value={gap.p50 === null ? '–' : duration(gap.p50)}
          hint={`mean p50 · worst p99 ${duration(gap.p99)}`}
        />
        <Stat
          label={`Ack timeouts, ${span}`}
          value={short(timeouts)}
          hint={`${count(minute('lateAcks'))} late · ${counted(minute('possibleDuplicates'), 'possible copy', 'possible copies')}`}
        />
        <Stat
          label="Failed, 1 min"
          value={short(whole.lastMinute.failed)}
          hint={`${count(minute('expired'))} expired · ${count(minute('cancelled') + minute('skipped'))} given up`}
          {...(whole.lastMinute.failed > 0 ? { tone: 'bad' as const } : {})}
        />
      </dl>
    </>
  );
}

/** In ms. */
function lengthOf(ticks: readonly Tick[]): number {
  return ticks.reduce((sum, { intervalMs }) => sum + intervalMs, 0);
}

function sumOf(ticks: readonly Tick[], name: keyof Whole['counts']): number {
  return ticks.reduce((sum, { counts }) => sum + counts[name], 0);
}

function perSecond(ticks: readonly Tick[], name: keyof Whole['counts']): number {
  const ms = lengthOf(ticks);
  return ms === 0 ? 0 : (sumOf(ticks, name) * 1_000) / ms;
}

function settledPerSecond(ticks: readonly Tick[]): number {
  return (['acked', 'assumed', 'failed', 'expired', 'cancelled', 'skipped'] as const).reduce(
    (sum, name) => sum + perSecond(ticks, name),
    0,
  );
}

/** Of several intervals: the mean of their medians by weight, and the worst of their p99: the p99 of all is no higher. */
function gapOf(ticks: readonly Tick[]): { readonly p50: number | null; readonly p99: number | null } {
  const measured = ticks.flatMap(({ gapMs: { count: many, p50, p99 } }) =>
    p50 === null || p99 === null ? [] : [{ many, p50, p99 }],
  );
  const all = measured.reduce((sum, { many }) => sum + many, 0);
  if (all === 0) return { p50: null, p99: null };
  return {
    p50: measured.reduce((sum, { many, p50 }) => sum + many * p50, 0) / all,
    p99: Math.max(...measured.map(({ p99 }) => p99)),
  };
}

function unsettledIn({ waiting, sending, awaitingAck, backingOff, unknown, held }: Whole['stages']): number {
  return [waiting, sending, awaitingAck, backingOff, unknown, held].reduce((sum, { messages }) => sum + messages, 0);
}

function roomsIn({ waiting, sending, awaitingAck, backingOff, unknown, held }: Whole['stages']): number {
  return [waiting, sending, awaitingAck, backingOff, unknown, held].reduce((sum, { rooms }) => sum + rooms, 0);
}

/** What comes in, and what is durable without a place in its room yet. */
function entryOf(
  { accepting }: LiveTotals,
  before: Awaited<ReturnType<ReturnType<typeof api>['pipeline']>> | undefined,
  only: { readonly tenant: string; readonly channel: string } | null,
  flow: Flow,
): StageShown[] {
  const channels = before?.channels ?? [];
  const isShown = (one: { readonly tenant: string; readonly channel: string }): boolean =>
    only === null || (one.tenant === only.tenant && one.channel === only.channel);
  const shown = channels.filter(isShown);
  const { rooms, messages } = (only === null ? before : shown[0])?.parked ?? { rooms: 0, messages: 0 };
  // The totals are of everything, and not told to a key that is bound to tenants.
  const waiting = only === null ? before?.buffered?.messages : null;
  const buffered = waiting ?? shown.reduce((sum, one) => sum + (one.buffered ?? 0), 0);
  const storing = (only === null ? accepting : null) ?? shown.reduce((sum, one) => sum + one.accepting, 0);
  return [
    {
      name: 'accepted',
      label: 'Accepted',
      tone: 'info',
      icon: 'accepted',
      value: flow.accepted,
      perSecond: true,
      note: buffered === 0 ? `${short(storing)} being stored` : `${short(buffered)} in the buffer`,
    },
    {
      name: 'parked',
      label: 'Parked',
      tone: 'calm',
      icon: 'parked',
      value: messages,
      note: rooms === 0 ? 'none' : `ahead, ${counted(rooms, 'room')}`,
    },
  ];
}

function stagesOf({ stages }: Whole, flow: Flow, ackRate: number | null): StageShown[] {
  const { waiting, sending, awaitingAck, backingOff, unknown, held } = stages;
  const why = [
    [waiting.ready, 'ready'],
    [waiting.channel, 'by channel'],
    [waiting.limit, 'by limit'],
    [waiting.notBefore, 'for later'],
    [waiting.paused, 'paused'],
  ] as const;
  const main = why.filter(([rooms]) => rooms > 0).slice(0, 2);
  const reasons = main.map(([rooms, word]) => `${short(rooms)} ${word}`).join(' · ');
  const inRooms = (rooms: number): string => (rooms === 0 ? 'none' : counted(rooms, 'room'));
  const rooms = (phase: string): { href: string } => ({ href: `/rooms?phase=${phase}` });
  return [
    {
      name: 'waiting',
      label: 'Waiting',
      tone: 'calm',
      icon: 'waiting',
      value: waiting.messages,
      note: reasons === '' ? 'behind their heads' : reasons,
      ...rooms('waiting'),
    },
    {
      name: 'sending',
      label: 'Sending',
      tone: 'info',
      icon: 'sending',
      value: sending.messages,
      note: `${rate(flow.sent)} /s go out`,
      ...rooms('sending'),
    },
    {
      name: 'awaiting',
      label: 'Awaiting ack',
      tone: 'flow',
      icon: 'awaiting',
      value: awaitingAck.messages,
      note: inRooms(awaitingAck.rooms),
      ...rooms('awaiting_ack'),
    },
    {
      name: 'settled',
      label: 'Settled',
      tone: 'ok',
      icon: 'settled',
      value: flow.settled,
      perSecond: true,
      note: ackRate === null ? 'acked or assumed' : `${percent(ackRate)} proven`,
    },
    {
      name: 'backing',
      label: 'Backing off',
      tone: 'warn',
      icon: 'backing',
      value: backingOff.messages,
      note: inRooms(backingOff.rooms),
      ...rooms('backing_off'),
    },
    {
      name: 'unknown',
      label: 'Unknown',
      tone: 'unsure',
      icon: 'unknown',
      value: unknown.messages,
      note: inRooms(unknown.rooms),
      ...rooms('unknown'),
    },
    {
      name: 'held',
      label: 'Held',
      tone: 'bad',
      icon: 'held',
      value: held.messages,
      note: inRooms(held.rooms),
      ...rooms('held'),
    },
  ];
}
