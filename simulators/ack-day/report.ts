/** The figures as a table. */
import type { Figures } from './figures.ts';

const COLUMNS: readonly (readonly [string, (figures: Figures) => string])[] = [
  [
    'X (least … median … most)',
    ({ timeoutMs: { least, median, most } }) => `${seconds(least)} … ${seconds(median)} … ${seconds(most)}`,
  ],
  ['waited for nothing', ({ waitedForNothingMs }) => `${(waitedForNothingMs / 3_600_000).toFixed(1)} h`],
  ['per message', ({ waitedForNothingMs, messages }) => seconds(waitedForNothingMs / messages)],
  ['per ack that never comes', ({ waitedForNothingMs, never }) => seconds(waitedForNothingMs / never)],
  ['wrong timeouts', ({ wrong, withinX }) => percent(wrong / withinX)],
  ['in incidents', ({ wrongInIncidents, withinXInIncidents }) => percent(wrongInIncidents / withinXInIncidents)],
  ['acked later', ({ ackedLater, messages }) => percent(ackedLater / messages)],
  ['proven', ({ proven, messages }) => percent(proven / messages)],
  ['swapped', ({ swaps, messages }) => percent(swaps / messages)],
  ['in queue, mean', ({ queueMs }) => seconds(queueMs)],
  ['turn settles, mean', ({ turnMs }) => seconds(turnMs)],
  ['p95', ({ turnP95Ms }) => seconds(turnP95Ms)],
  ['outage mode', ({ outageMinutes }) => `${outageMinutes} min`],
];

/** One table of a channel, or of all: a line for each policy. */
export function tableOf(rows: readonly { readonly policy: string; readonly figures: Figures }[]): string {
  const [first] = rows;
  const head = ['policy', ...COLUMNS.map(([title]) => title)];
  const lines = rows.map(({ policy, figures }) => [policy, ...COLUMNS.map(([, show]) => show(figures))]);
  const cells = [head, head.map(() => '---'), ...lines];
  const body = cells.map((line) => `| ${line.join(' | ')} |`).join('\n');
  const { name = '', messages = 0, never = 0 } = first?.figures ?? {};
  return `**${name}**: ${messages} messages, ${percent(never / messages)} never acked\n\n${body}`;
}

function seconds(ms: number): string {
  if (!Number.isFinite(ms)) return '-';
  return `${(ms / 1_000).toFixed(ms < 9_995 ? 2 : 1)} s`;
}

function percent(share: number): string {
  return Number.isFinite(share) ? `${(100 * share).toFixed(2)} %` : '-';
}
