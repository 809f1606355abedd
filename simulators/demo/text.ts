/** Numbers and tables as text. */
import type { Colour, Paint } from './terminal.ts';

export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** Such as `1 message`, `2,000 messages`. */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

/** Never rounds up to a hundred what is less. */
export function percent(share: number): string {
  return `${(Math.floor(share * 1_000) / 10).toFixed(1)} %`;
}

export interface Cell {
  readonly text: string;
  readonly colour?: Colour;
}

/** The first column flush left, the others flush right, two spaces between. */
export function table(rows: readonly (readonly Cell[])[], paint: Paint): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, { text }] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, text.length);
  }
  return rows.map((row) =>
    row
      .map(({ text, colour }, column) => {
        const width = widths[column] ?? 0;
        const padded = column === 0 ? text.padEnd(width) : text.padStart(width);
        return colour === undefined ? padded : paint(colour, padded);
      })
      .join('  ')
      .trimEnd(),
  );
}
