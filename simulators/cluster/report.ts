/** What a run came to, in lines. */
import type { Verdict } from '../oracle/types.ts';
import type { SceneReport } from './scene.ts';
import type { Phase, SignalsReport } from './signals.ts';
import type { Spread } from './spread.ts';

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly found: string;
}

/** What a killed worker's rooms may wait beyond its lease, and a drained one's beyond the shard's last open send. */
const BEYOND_LEASE_MS = 1_000;
const BEYOND_SEND_MS = 250;

export function sceneLines({ killed, drained }: SceneReport, leaseMs: number): string[] {
  return [
    `Killed (leases live ${leaseMs / 1_000} s): of its ${killed.rooms} rooms ${killed.due} were due before another worker had them.`,
    `  from the kill to the room's next request   ${spread(killed.sinceKill)}`,
    `  found sending, sent again (grace 2 s more)  ${spread(killed.sendingSinceKill)}`,
    `  between two requests, around the kill      ${spread(killed.gap)}`,
    `Told to go: its ${drained.rooms} rooms in ${drained.tookMs} ms, exit code ${drained.exitCode}.`,
    `  from ack, or last open send of the shard   ${spread(drained.all)}`,
    `  those whose ack came during the hand-over  ${spread(drained.heldUp)}`,
    `  other workers' rooms meanwhile, from ack   ${spread(drained.others)}`,
  ];
}

export function verdictLine(verdict: Verdict): string {
  const { messages, duplicates, swaps, lateCopies } = verdict;
  const outcomes = Object.entries(messages.outcomes).map(([name, count]) => `${name} ${count}`);
  return (
    `${messages.accepted} accepted, lost ${messages.lost}; ${outcomes.join(', ')}; ` +
    `swapped after an ack ${swaps.afterAcked}; copies ${duplicates.extraReceipts}, ` +
    `beyond unknown outcomes ${duplicates.unexplained}; late from a stale worker ${lateCopies.stale}`
  );
}

export function sceneChecks({ drained, settledInTime, verdict }: SceneReport): Check[] {
  return [
    check('everything settled', settledInTime, settledInTime ? 'all' : 'not in time'),
    check('nothing lost, swapped after an ack, or sent twice without a reason', verdict.clean, verdictLine(verdict)),
    check('the drained worker ended in good order', drained.exitCode === 0, `${drained.exitCode}`),
  ];
}

/** What is stated of the figures; a machine that is busy otherwise may miss it. */
export function figureChecks({ killed, drained }: SceneReport, leaseMs: number): Check[] {
  const within = leaseMs + BEYOND_LEASE_MS;
  return [
    check(
      `rooms of the killed worker go on within ${within / 1_000} s (p99)`,
      killed.sinceKill.count > 0 && killed.sinceKill.p99 <= within,
      `${killed.sinceKill.p99} ms`,
    ),
    check(
      `rooms of the drained worker go on within ${BEYOND_SEND_MS} ms of the last open send (p99)`,
      drained.all.count > 0 && drained.all.p99 <= BEYOND_SEND_MS,
      `${drained.all.p99} ms`,
    ),
  ];
}

/**
 * With Redis there again it must be as before: what comes by webhooks elsewhere, against what needs no Redis in the same
 * phase, because the machine may be busier in one phase than in another.
 */
const BACK = { throughput: 0.9, gap: 1.5 };

export function signalsChecks({ phases, backAfterMs }: SignalsReport): Check[] {
  const [before, , again] = phases;
  if (before === undefined || again === undefined) return [];
  const throughput = Number(ratio(againstHolder(again).messages, againstHolder(before).messages));
  const gap = Number(ratio(againstHolder(again).gap, againstHolder(before).gap));
  return [
    check(
      'with Redis there again, webhooks elsewhere are as good as before against those at the holder',
      throughput >= BACK.throughput && gap <= BACK.gap,
      `${throughput} × the messages, ${gap} × the gap; signals were back ${backAfterMs} ms after Redis`,
    ),
  ];
}

function againstHolder({ elsewhere, atHolder }: Phase): { readonly messages: number; readonly gap: number } {
  return { messages: elsewhere.count / Math.max(1, atHolder.count), gap: elsewhere.p50 / Math.max(0.1, atHolder.p50) };
}

export function signalsLines({ phases, lostAfterMs, backAfterMs }: SignalsReport): string[] {
  const [before, without, again] = phases;
  const rows = phases.flatMap((phase) => [
    `${phase.name.padEnd(14)} ${phase.perSecond} messages/s`,
    `  webhook at the holder   ${spread(phase.atHolder)}`,
    `  webhook elsewhere       ${spread(phase.elsewhere)}`,
  ]);
  return [
    'From the webhook call with an ack to the next request of the room:',
    ...rows,
    `Signals were given up ${lostAfterMs} ms after Redis was killed, and back ${backAfterMs} ms after it was ready again.`,
    ...(before === undefined || without === undefined || again === undefined ? [] : ratioLines(before, without, again)),
  ];
}

function ratio(a: number, b: number): string {
  return b === 0 ? '–' : (a / b).toFixed(2);
}

function ratioLines(before: Phase, without: Phase, again: Phase): string[] {
  return [
    ...[before, without, again].map(
      ({ name, elsewhere, atHolder }) =>
        `elsewhere / at the holder, ${name.padEnd(14)} p50 ${ratio(elsewhere.p50, atHolder.p50)}, ` +
        `p99 ${ratio(elsewhere.p99, atHolder.p99)}, messages ${ratio(elsewhere.count, atHolder.count)}`,
    ),
    `without / with Redis, webhook elsewhere   p50 ${ratio(without.elsewhere.p50, before.elsewhere.p50)}, ` +
      `p99 ${ratio(without.elsewhere.p99, before.elsewhere.p99)}`,
    `again / with Redis, webhook elsewhere     p50 ${ratio(again.elsewhere.p50, before.elsewhere.p50)}, ` +
      `p99 ${ratio(again.elsewhere.p99, before.elsewhere.p99)}`,
    `throughput: without / with Redis ${ratio(without.perSecond, before.perSecond)}, ` +
      `again / with Redis ${ratio(again.perSecond, before.perSecond)}`,
  ];
}

export function checkLines(checks: readonly Check[]): string[] {
  return checks.map(({ name, ok, found }) => `${ok ? 'ok  ' : 'FAIL'} ${name}: ${found}`);
}

export function check(name: string, ok: boolean, found: string): Check {
  return { name, ok, found };
}

function spread({ count, p50, p99, max }: Spread): string {
  return count === 0 ? 'none' : `p50 ${p50} ms, p99 ${p99} ms, max ${max} ms (${count})`;
}
