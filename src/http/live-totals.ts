/** What all processes tell of themselves, put together twice a second: how much is where, and what happened since. */
import type { LiveChannel, LivePart } from '../engine/live-ports.ts';
import type { ChannelKey } from '../engine/ports.ts';
import { quantileMs, settledIn, TOTALS, type Totals } from '../engine/tallies.ts';
import type { LiveTotals } from './live-schemas.ts';
import { wholeOf } from './pipeline-answers.ts';

/** A part of which nothing was heard for longer than this is not counted. */
const STALE_MS = 2_000;

interface Told {
  readonly part: LivePart;
  /** Monotonic ms. */
  readonly heardAt: number;
}

/** What one process did in one channel since the frame before. */
interface Share {
  readonly now: LiveChannel;
  readonly totals: Totals;
  readonly gaps: readonly number[];
  /** What the totals are of; 0 where that is not known. */
  readonly overMs: number;
}

/** Everything at one moment, to be shown to each reader as far as it may see it. */
export interface Frame {
  readonly parts: readonly LivePart[];
  readonly intervalMs: number | null;
  readonly channels: readonly { readonly key: ChannelKey; readonly shares: readonly Share[] }[];
}

export class LiveParts {
  readonly #told = new Map<string, Told>();
  /** As of the last frame. */
  #before = new Map<string, LivePart>();
  #framedAt: number | null = null;

  take(process: string, part: LivePart | null, heardAt: number): void {
    if (part === null) this.#told.delete(process);
    else this.#told.set(process, { part, heardAt });
  }

  /** Nobody listens any more: what follows later has nothing to do with this. */
  clear(): void {
    this.#told.clear();
    this.#before.clear();
    this.#framedAt = null;
  }

  /** Null while nothing was told. @param monotonicMs the present */
  frame(monotonicMs: number): Frame | null {
    for (const [process, { heardAt }] of this.#told) {
      if (monotonicMs - heardAt > STALE_MS) this.#told.delete(process);
    }
    if (this.#told.size === 0) return null;
    const channels = new Map<string, { readonly key: ChannelKey; readonly shares: Share[] }>();
    for (const [process, { part }] of this.#told) {
      const before = this.#before.get(process) ?? null;
      const earlier = new Map(before?.channels.map((one) => [nameOf(one), one]));
      const overMs = before === null ? 0 : part.readAt - before.readAt;
      for (const now of part.channels) {
        const name = nameOf(now);
        const known = channels.get(name) ?? { key: { tenant: now.tenant, channel: now.channel }, shares: [] };
        channels.set(name, known);
        // A channel that was not there before has been counted from 0.
        known.shares.push(shareOf(now, before === null ? now : (earlier.get(name) ?? null), overMs));
      }
    }
    const intervalMs = this.#framedAt === null ? null : Math.round(monotonicMs - this.#framedAt);
    this.#framedAt = monotonicMs;
    this.#before = new Map([...this.#told].map(([process, { part }]) => [process, part]));
    const parts = [...this.#told.values()].map(({ part }) => part);
    const inOrder = [...channels].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, channel]) => channel);
    return { parts, intervalMs, channels: inOrder };
  }
}

/**
 * @param isShown which channels
 * @param isWhole false: what is told of processes as a whole is not for this reader
 */
export function totalsOf(
  { parts, intervalMs, channels }: Frame,
  shards: number,
  isShown: (key: ChannelKey) => boolean,
  isWhole: boolean,
): LiveTotals {
  const shown = channels.filter(({ key }) => isShown(key));
  const counted = parts.reduce((sum, part) => sum + part.shards, 0);
  return {
    asOf: Math.min(...parts.map(({ asOf }) => asOf)),
    intervalMs,
    complete: counted === shards,
    processes: parts.length,
    shards: { counted, total: shards },
    accepting: isWhole ? parts.reduce((sum, { intake }) => sum + intake, 0) : null,
    openSends: isWhole ? parts.reduce((sum, { openSends }) => sum + openSends, 0) : null,
    ...liveWholeOf(shown.flatMap(({ shares }) => shares)),
    channels: shown.map(({ key, shares }) => ({ ...key, ...conditionOf(shares), ...liveWholeOf(shares) })),
  };
}

function nameOf({ tenant, channel }: ChannelKey): string {
  return JSON.stringify([tenant, channel]);
}

function shareOf(now: LiveChannel, before: LiveChannel | null, overMs: number): Share {
  // What a process counts only rises.
  const totals = TOTALS.map((total, index) => {
    return [total, Math.max(0, (now.totals[index] ?? 0) - (before?.totals[index] ?? 0))] as const;
  });
  const gaps = now.gaps.map((count, index) => Math.max(0, count - (before?.gaps[index] ?? 0)));
  return { now, totals: Object.fromEntries(totals) as Totals, gaps, overMs };
}

function liveWholeOf(shares: readonly Share[]) {
  const counts = Object.fromEntries(
    TOTALS.map((total) => [total, shares.reduce((sum, { totals }) => sum + totals[total], 0)]),
  ) as Totals;
  const perSecond = (count: (totals: Totals) => number): number => {
    const sum = shares.reduce(
      (all, { totals, overMs }) => all + (overMs > 0 ? (count(totals) * 1_000) / overMs : 0),
      0,
    );
    return Math.round(sum * 10) / 10;
  };
  const gaps: number[] = [];
  for (const share of shares) {
    share.gaps.forEach((count, index) => {
      while (gaps.length <= index) gaps.push(0);
      gaps[index] = (gaps[index] as number) + count;
    });
  }
  const { acked, assumed } = counts;
  return {
    ...wholeOf(shares.map(({ now }) => now)),
    counts,
    acceptedPerSecond: perSecond(({ accepted }) => accepted),
    sentPerSecond: perSecond(({ attempts }) => attempts),
    settledPerSecond: perSecond(settledIn),
    ackRate: acked + assumed === 0 ? null : acked / (acked + assumed),
    gapMs: {
      count: gaps.reduce((sum, count) => sum + count, 0),
      p50: quantileMs(gaps, 0.5),
      p99: quantileMs(gaps, 0.99),
    },
  };
}

const RANK = ['open', 'ack_outage', 'slowed', 'stopped'] as const;

/** A channel that is configured nowhere any more is as good as stopped. */
function conditionOf(shares: readonly Share[]) {
  const known = shares.flatMap(({ now }) => (now.condition === null ? [] : [now.condition]));
  const [worst] = known.toSorted((a, b) => RANK.indexOf(b.state) - RANK.indexOf(a.state));
  return worst ?? { state: 'stopped' as const, reason: 'channel_not_configured', until: null, ackTimeoutMs: 0 };
}
