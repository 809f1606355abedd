/** What a day comes to. Each figure is of one channel, or of all of them together. */
import { windowOf } from './characters.ts';
import type { ChannelDay, Day } from './day.ts';

export interface Figures {
  readonly name: string;
  readonly messages: number;
  /** Messages whose ack never comes, and how long their rooms waited for it. */
  readonly never: number;
  readonly waitedForNothingMs: number;
  /** Messages that settled without their ack although it came later. */
  readonly ackedLater: number;
  /** Acks that come within X outside the incidents; those that X would have waited for and this policy did not. */
  readonly withinX: number;
  readonly wrong: number;
  /** The same of messages that an incident touched. */
  readonly withinXInIncidents: number;
  readonly wrongInIncidents: number;
  readonly proven: number;
  /** Messages that reached the phone after a later one; those of them that had been acked before that one was sent. */
  readonly swaps: number;
  readonly swapsOfProven: number;
  /** From a turn's first message being published to its last one's settling; the mean, and the 95th percentile. */
  readonly turnMs: number;
  readonly turnP95Ms: number;
  /** The mean from publishing to leaving. */
  readonly queueMs: number;
  /** X in the course of the day: median and extremes. */
  readonly timeoutMs: { readonly least: number; readonly median: number; readonly most: number };
  readonly outageMinutes: number;
}

/** What an incident does is still felt for so long after its end. */
const AFTER_INCIDENT_MS = 600_000;

export function figuresOf({ channels }: Day, dayMs: number): { readonly all: Figures; readonly each: Figures[] } {
  const drafts = channels.map((channel) => draftOf(channel, dayMs));
  const together = drafts.reduce(added);
  return { all: finished('all', together), each: drafts.map((draft, n) => finished(nameOf(channels[n]), draft)) };
}

/**
 * Whoever gave up more of the acks within X, outside the incidents, than the quantile allows, or let a message overtake
 * one that had been acked.
 */
export function wrongWith(policy: string, quantile: number, figures: readonly Figures[]): string[] {
  return figures.flatMap(({ name, wrong, withinX, swapsOfProven }) => {
    const share = wrong / withinX;
    const of = `${policy}, ${name}:`;
    return [
      ...(share <= 1 - quantile ? [] : [`${of} gave up ${(100 * share).toFixed(2)} % of the acks within X`]),
      ...(swapsOfProven === 0 ? [] : [`${of} ${swapsOfProven} acked messages were overtaken`]),
    ];
  });
}

type Sums = Record<
  | 'messages'
  | 'never'
  | 'waitedForNothingMs'
  | 'ackedLater'
  | 'withinX'
  | 'wrong'
  | 'withinXInIncidents'
  | 'wrongInIncidents'
  | 'proven'
  | 'swaps'
  | 'swapsOfProven'
  | 'queueMs'
  | 'outageMinutes',
  number
>;

interface Draft {
  readonly sums: Sums;
  readonly turns: readonly number[];
  readonly timeouts: readonly number[];
}

function draftOf(channel: ChannelDay, dayMs: number): Draft {
  const { load, sender, character, settledAt, proven } = channel;
  const windows = character.incidents.map((incident) => windowOf(incident, dayMs));
  const sums: Sums = {
    messages: load.count,
    never: 0,
    waitedForNothingMs: 0,
    ackedLater: 0,
    withinX: 0,
    wrong: 0,
    withinXInIncidents: 0,
    wrongInIncidents: 0,
    proven: 0,
    swaps: 0,
    swapsOfProven: 0,
    queueMs: 0,
    outageMinutes: channel.outageMinutes,
  };
  const turns: number[] = [];
  for (let message = 0; message < load.count; message++) {
    const of = (values: Float64Array): number => values[message] as number;
    const answeredAt = of(sender.answeredAt);
    const ackAt = of(sender.ackAt);
    const isProven = proven[message] === 1;
    const comes = Number.isFinite(ackAt);
    const withinX = ackAt - answeredAt <= character.ackTimeoutMs;
    const touched = windows.some(
      ({ from, to }) => answeredAt >= from - character.ackTimeoutMs && answeredAt < to + AFTER_INCIDENT_MS,
    );
    sums.queueMs += of(sender.leftAt) - of(load.at);
    sums.swaps += sender.swapped[message] as number;
    if (isProven) {
      sums.proven++;
      sums.swapsOfProven += sender.swapped[message] as number;
    }
    if (!comes) {
      sums.never++;
      sums.waitedForNothingMs += of(settledAt) - answeredAt;
    } else if (!isProven) sums.ackedLater++;
    if (withinX) sums[touched ? 'withinXInIncidents' : 'withinX']++;
    if (withinX && !isProven) sums[touched ? 'wrongInIncidents' : 'wrong']++;
    if (load.endsTurn[message] === 1) turns.push(of(settledAt) - of(load.turnAt));
  }
  return { sums, turns, timeouts: channel.timeoutsMs };
}

function added(a: Draft, b: Draft): Draft {
  const sums = { ...a.sums };
  for (const key of Object.keys(sums) as (keyof Sums)[]) sums[key] += b.sums[key];
  return { sums, turns: [...a.turns, ...b.turns], timeouts: [...a.timeouts, ...b.timeouts] };
}

function finished(name: string, { sums, turns, timeouts }: Draft): Figures {
  const sorted = Float64Array.from(turns).sort();
  const steps = Float64Array.from(timeouts).sort();
  return {
    name,
    ...sums,
    queueMs: sums.queueMs / sums.messages,
    turnMs: turns.reduce((sum, ms) => sum + ms, 0) / turns.length,
    turnP95Ms: at(sorted, 0.95),
    timeoutMs: { least: at(steps, 0), median: at(steps, 0.5), most: at(steps, 1) },
  };
}

function at(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

function nameOf(channel: ChannelDay | undefined): string {
  return channel?.character.name ?? '';
}
