/** Charts over the last minutes and hours, from the rows of whole minutes. */
import { useMemo } from 'preact/hooks';
import { useSearchParams } from 'wouter-preact';
import { api, useResource } from '../api.ts';
import { counted, duration, percent, short } from '../format.ts';
import { Chart, type Series } from '../ui/chart.tsx';
import { Card, Share, Tabs } from '../ui/parts.tsx';
import { Loaded } from '../ui/states.tsx';

type Charts = Awaited<ReturnType<ReturnType<typeof api>['charts']>>;
type Point = Charts['points'][number];

const MINUTE_MS = 60_000;
const REFRESH_MS = 20_000;
const RANGES = {
  '15m': { label: '15 min', ms: 15 * MINUTE_MS, stepS: 60 },
  '1h': { label: '1 hour', ms: 60 * MINUTE_MS, stepS: 60 },
  '6h': { label: '6 hours', ms: 360 * MINUTE_MS, stepS: 300 },
  '24h': { label: '24 hours', ms: 1_440 * MINUTE_MS, stepS: 900 },
} as const;
type Range = keyof typeof RANGES;

export function History({ only }: { readonly only: { readonly tenant: string; readonly channel: string } | null }) {
  const [query, setQuery] = useSearchParams();
  const asked = query.get('range') ?? '';
  const range: Range = asked in RANGES ? (asked as Range) : '15m';
  const { ms, stepS } = RANGES[range];
  const charts = useResource(
    () => {
      // The minute that runs is not stored yet.
      const to = Math.floor(Date.now() / (stepS * 1_000)) * stepS * 1_000;
      return api().charts({ ...(only ?? {}), from: to - ms, to, step: stepS });
    },
    [only, range],
    REFRESH_MS,
  );
  const pick = (next: Range): void => {
    setQuery(
      (now) => {
        const changed = new URLSearchParams(now);
        changed.set('range', next);
        return changed;
      },
      { replace: true },
    );
  };
  return (
    <>
      <div class="section-head row">
        <h2>How it has been</h2>
        <Tabs
          label="Range of the charts"
          value={range}
          tabs={(Object.keys(RANGES) as Range[]).map((value) => ({ value, label: RANGES[value].label }))}
          onChange={pick}
        />
      </div>
      <Loaded of={charts} what="Loading the charts">
        {(data) => <Charts data={data} perStep={stepS === 60 ? 'minute' : `${stepS / 60} min`} />}
      </Loaded>
    </>
  );
}

function Charts({ data, perStep }: { readonly data: Charts; readonly perStep: string }) {
  const { times, all } = useMemo(() => filled(data), [data]);
  const lines = useMemo(() => {
    const total = (name: string) => all.map((point) => point?.totals[name] ?? 0);
    const quantile = (name: string, which: 'p50' | 'p99') =>
      all.map((point) => point?.latencies[name]?.[which] ?? null);
    return {
      messages: [
        { label: 'Accepted', tone: 'info', values: total('accepted'), dashed: true },
        { label: 'Acked', tone: 'ok', values: total('acked'), kind: 'area' },
        { label: 'Assumed', tone: 'warn', values: total('assumed') },
        { label: 'Failed', tone: 'bad', values: total('failed') },
      ],
      gap: [
        { label: 'p50', tone: 'flow', values: quantile('ackToNextSend', 'p50'), kind: 'area' },
        { label: 'p99', tone: 'unsure', values: quantile('ackToNextSend', 'p99') },
      ],
      acks: [
        { label: 'p50', tone: 'flow', values: quantile('ackDelay', 'p50'), kind: 'area' },
        { label: 'p99', tone: 'unsure', values: quantile('ackDelay', 'p99') },
      ],
      trouble: [
        { label: 'Ack timeouts', tone: 'warn', values: total('timeouts'), kind: 'bars' },
        { label: 'Late acks', tone: 'flow', values: total('lateAcks') },
        { label: 'Possible duplicates', tone: 'bad', values: total('possibleDuplicates') },
      ],
    } satisfies Record<string, Series[]>;
  }, [all]);
  const sum = (name: string): number => data.points.reduce((sofar, { totals }) => sofar + (totals[name] ?? 0), 0);
  const acked = sum('acked');
  const assumed = sum('assumed');
  return (
    <div class="columns charts">
      <Card title={`Messages per ${perStep}`} hint={`${counted(acked + assumed + sum('failed'), 'message')} settled`}>
        <Chart label="Messages" times={times} series={lines.messages} format={short} least={5} />
      </Card>
      <Card title="Gap from ack to next send" hint="From an ack's receipt to the first byte of the next message">
        <Chart label="Gap from ack to next send" times={times} series={lines.gap} format={duration} least={10} />
      </Card>
      <Card title="How long acks take" hint="From the platform's answer to its ack">
        <Chart label="Ack delay" times={times} series={lines.acks} format={duration} least={10} />
      </Card>
      <Card
        title={`Timeouts per ${perStep}`}
        hint={`Order proven for ${percent(acked + assumed === 0 ? null : acked / (acked + assumed))}`}
      >
        <Chart label="Timeouts" times={times} series={lines.trouble} format={short} least={5} height={150} />
        <Share
          label="Order"
          parts={[
            { label: 'proven', value: acked, tone: 'ok' },
            { label: 'assumed', value: assumed, tone: 'warn' },
          ]}
        />
      </Card>
    </div>
  );
}

/** A point for every step: nothing is stored of minutes in which nothing happened. */
function filled({ from, to, stepMs, points }: Charts): {
  readonly times: number[];
  readonly all: (Point | undefined)[];
} {
  const byTime = new Map(points.map((point) => [point.at, point]));
  const times = Array.from(
    { length: Math.max(1, Math.floor((to - from) / stepMs)) },
    (_, index) => from + index * stepMs,
  );
  return { times, all: times.map((at) => byTime.get(at)) };
}
