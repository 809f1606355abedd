import type { Paint } from './terminal.ts';
import { count, percent } from './text.ts';

export interface WayProgress {
  readonly name: string;
  /** Accepted by the platform. */
  readonly sent: number;
  /** Arrived on phones. */
  readonly shown: number;
  /** What Roomline says of its own. */
  readonly settled?: { readonly acked: number; readonly assumed: number };
}

export interface Progress {
  readonly elapsedMs: number;
  /** Messages of each way. */
  readonly total: number;
  readonly ways: readonly WayProgress[];
}

const BAR = 24;

/** The block that a terminal shows again and again. */
export function progressBlock({ elapsedMs, total, ways }: Progress, paint: Paint): string[] {
  const nameWidth = Math.max(...ways.map(({ name }) => name.length));
  const width = count(total).length;
  const heading = `${`${Math.floor(elapsedMs / 1_000)} s`.padEnd(nameWidth + BAR + 4)}${'sent'.padStart(width)}  on phones`;
  return [
    '',
    `  ${paint('dim', heading)}`,
    ...ways.map((way) => {
      const filled = Math.min(BAR, Math.floor((way.shown / total) * BAR));
      const bar = paint(way.settled ? 'green' : 'yellow', '█'.repeat(filled)) + paint('dim', '░'.repeat(BAR - filled));
      const numbers = `${count(way.sent).padStart(width)}  ${count(way.shown).padStart(9)}`;
      return `  ${way.name.padEnd(nameWidth)}  ${bar}  ${numbers}${settledText(way, paint)}`;
    }),
    '',
  ];
}

/** One line for where nothing can be drawn twice. */
export function progressLine({ elapsedMs, total, ways }: Progress): string {
  const parts = ways.map(({ name, shown }) => `${name} ${count(shown)} (${percent(shown / total)})`);
  return `${String(Math.floor(elapsedMs / 1_000)).padStart(4)} s  on phones: ${parts.join(' · ')}`;
}

function settledText({ settled }: WayProgress, paint: Paint): string {
  if (settled === undefined) return '';
  return paint('dim', `   ${count(settled.acked)} acked, ${count(settled.assumed)} assumed`);
}
