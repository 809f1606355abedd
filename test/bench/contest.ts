/** What Roomline is compared with, put through what Roomline was put through, in the same run. */
import type { Rig } from '../../simulators/rig/rig.ts';
import type { Row } from './comparison.ts';
import { type Contestant, type ContestOptions, startContestant } from './contestant.ts';
import type { Engine } from './engine.ts';
import { type Figure, figure, type RunFigures } from './figures.ts';
import { type Shown, totalUs } from './passage.ts';
import type { WorkloadContext } from './workload.ts';

/**
 * One after the other. One that fails has no figure, and the next does not suffer from what it leaves.
 * @param measure puts the load through the engine and stops it
 */
export async function contest(
  rig: Rig,
  contestants: readonly Contestant[],
  options: Omit<ContestOptions, 'signal'>,
  { signal }: WorkloadContext,
  measure: (engine: Engine) => Promise<Shown[]>,
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const contestant of contestants) {
    let engine: Engine | null = null;
    try {
      engine = await startContestant(contestant, rig, { ...options, signal });
      rows.push(...(await measure(engine)).map((shown) => ({ shown })));
    } catch (error) {
      signal.throwIfAborted();
      await engine?.end();
      await rig.pubsub.emptySubscription();
      rows.push({ name: contestant.name, failure: (error as Error).message });
    }
  }
  return rows;
}

/** Roomline beside those that gave figures; the ratios where it is one, for the table of all tells those of several. */
export function beside(roomline: readonly Shown[], others: readonly Row[]): RunFigures {
  const shown = others.flatMap((row) => ('shown' in row ? row.shown : []));
  const [own] = roomline;
  const [other, ...more] = shown;
  const one = own !== undefined && other !== undefined && more.length === 0;
  return {
    ratios: one ? ratiosOf(own, other) : [],
    figures: [...roomline, ...shown].flatMap(({ figures }) => figures),
    rows: [...roomline.map((each) => ({ shown: each })), ...others],
  };
}

function ratiosOf(roomline: Shown, other: Shown): Figure[] {
  const of = (what: string, share: (shown: Shown) => number): Figure =>
    figure(`Roomline by ${other.name}: ${what}`, '×', share(roomline) / share(other));
  return [
    of('messages/s, end to end', ({ perSecond }) => perSecond),
    of('messages/s, middle 80 %', ({ steadyPerSecond }) => steadyPerSecond),
    of('CPU per message, engine, Postgres and Redis', totalUs),
    of('CPU per message, engine', ({ engineUs }) => engineUs),
    of('CPU per message, Postgres', ({ postgresUs }) => postgresUs),
    of('gap from ack to next send, p50', ({ gapP50Ms }) => gapP50Ms),
    of('gap from ack to next send, p99', ({ gapP99Ms }) => gapP99Ms),
    of('transactions per message', ({ transactions }) => transactions),
    of('WAL per message', ({ walBytes }) => walBytes),
  ];
}
