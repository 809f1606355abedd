/** What a run came to: as JSON, and as a table. */
import type { Verdict } from '../oracle/types.ts';
import type { Check } from './judge.ts';
import type { Link, PlannedFault } from './plan.ts';
import type { ProxyCounts } from './proxy.ts';
import type { Done } from './run.ts';

interface Figures {
  readonly seed: number;
  readonly minutes: number;
  readonly engines: number;
  readonly rooms: number;
  readonly planned: number;
  readonly accepted: number;
  readonly settled: number;
  /** Workers that others took over from, and holders that were killed. */
  readonly takeOvers: number;
  readonly kills: number;
  readonly endedByThemselves: number;
  readonly failedStarts: number;
  readonly tailMs: number;
  readonly faults: readonly Done[];
  readonly links: Readonly<Record<string, Readonly<Partial<Record<Link, ProxyCounts>>>>>;
  readonly checks: readonly Check[];
  readonly verdicts: Readonly<Record<string, Verdict>>;
}

export interface Report extends Figures {
  readonly clean: boolean;
}

export function summarize(figures: Figures): Report {
  return { clean: figures.checks.every(({ ok }) => ok), ...figures };
}

export function tableOf(report: Report): string[] {
  const { faults, checks, verdicts } = report;
  const kinds = new Map<PlannedFault['kind'], { planned: number; fired: number }>();
  for (const { fault, fired } of faults) {
    const { planned, fired: before } = kinds.get(fault.kind) ?? { planned: 0, fired: 0 };
    kinds.set(fault.kind, { planned: planned + 1, fired: before + (fired ? 1 : 0) });
  }
  const rows = [...kinds].sort(([a], [b]) => a.localeCompare(b));
  return [
    'fault                  planned  fired',
    ...rows.map(([kind, { planned, fired }]) => `${kind.padEnd(22)} ${cell(planned)} ${cell(fired)}`),
    `${'all'.padEnd(22)} ${cell(faults.length)} ${cell(faults.filter(({ fired }) => fired).length)}`,
    '',
    `engines ${report.engines}, take-overs ${report.takeOvers}, holders killed ${report.kills}, ` +
      `ended by themselves ${report.endedByThemselves}, failed starts ${report.failedStarts}`,
    ...Object.entries(report.links).map(([name, links]) => `${name}: ${linkWords(links)}`),
    '',
    ...Object.entries(verdicts).map(([channel, verdict]) => verdictLine(channel, verdict)),
    ...Object.entries(verdicts).flatMap(([channel, { violations }]) =>
      violations.map((violation) => `  ${channel}: ${JSON.stringify(violation)}`),
    ),
    '',
    ...checks.map(({ name, ok, found }) => `${ok ? 'ok  ' : 'FAIL'} ${name}: ${found}`),
    '',
    report.clean
      ? `CLEAN: seed ${report.seed}, ${report.minutes} min, ${faults.length} faults, ${report.settled} messages settled`
      : `NOT CLEAN: seed ${report.seed}, ${report.minutes} min`,
  ];
}

function cell(value: number): string {
  return String(value).padStart(6);
}

function linkWords(links: Readonly<Partial<Record<Link, ProxyCounts>>>): string {
  return Object.entries(links)
    .map(([link, counts]) => {
      const { connections, cut, swallowedBytes, delayedBytes } = counts;
      return `${link} ${connections} connections, ${cut} cut, ${swallowedBytes} B swallowed, ${delayedBytes} B delayed`;
    })
    .join('; ');
}

function verdictLine(channel: string, { messages, receipts, duplicates, lateCopies, swaps }: Verdict): string {
  const outcomes = Object.entries(messages.outcomes).map(([name, count]) => `${name} ${count}`);
  return [
    `${channel}: ${messages.accepted} accepted, ${outcomes.join(', ')}, lost ${messages.lost}`,
    `receipts ${receipts.total}, extra ${duplicates.extraReceipts} (${duplicates.unexplained} unexplained)`,
    `late copies: held ${lateCopies.held}, stale ${lateCopies.stale}`,
    `swaps ${swaps.total} (after acked ${swaps.afterAcked})`,
  ].join('; ');
}
