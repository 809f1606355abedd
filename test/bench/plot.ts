/** Loads side by side as bars, in one SVG: CPU per message by process, and the gap from ack to next send. */
import type { Shown } from './passage.ts';

const WIDTH = 860;
const LABELS = 230;
const NUMBERS = 90;
const BAR = 16;
const ROW = 24;
const TITLE = 34;
const PARTS = [
  { name: 'engine', colour: '#3b6ea5', of: ({ engineUs }: Shown) => engineUs },
  { name: 'Postgres', colour: '#7fa7cf', of: ({ postgresUs }: Shown) => postgresUs },
  { name: 'Redis', colour: '#c4ced8', of: ({ redisUs }: Shown) => redisUs },
] as const;
const GAPS = [
  { name: 'p50', colour: '#3b6ea5', of: ({ gapP50Ms }: Shown) => gapP50Ms },
  { name: 'p99', colour: '#c4ced8', of: ({ gapP99Ms }: Shown) => gapP99Ms },
] as const;

export function plot(title: string, all: readonly Shown[]): string {
  const cpu = panel('CPU per message, µs', PARTS, all, TITLE, 'stacked');
  const gap = panel('Gap from ack to next send, ms', GAPS, all, cpu.bottom + TITLE, 'side by side');
  const height = gap.bottom + ROW;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    ...cpu.lines,
    ...gap.lines,
    '</svg>\n',
  ].join('\n');
}

interface Part {
  readonly name: string;
  readonly colour: string;
  readonly of: (shown: Shown) => number;
}

function panel(
  title: string,
  parts: readonly Part[],
  all: readonly Shown[],
  top: number,
  how: 'stacked' | 'side by side',
): { readonly lines: string[]; readonly bottom: number } {
  const values = all.map((shown) => parts.map(({ of }) => Math.max(0, finite(of(shown)))));
  const lengths = values.map((each) => (how === 'stacked' ? each.reduce((a, b) => a + b, 0) : Math.max(...each)));
  const scale = (WIDTH - LABELS - NUMBERS) / Math.max(...lengths, Number.MIN_VALUE);
  const legend = parts.map(({ name, colour }, at) => text(LABELS + at * 90, top, name, colour));
  const lines = [`<text x="8" y="${top}" font-weight="bold">${escaped(title)}</text>`, ...legend];
  for (const [row, shown] of all.entries()) {
    const y = top + 14 + row * ROW;
    lines.push(text(8, y + BAR - 4, shown.name, '#222'));
    let x = LABELS;
    const each = values[row] ?? [];
    for (const [at, { colour, name }] of parts.entries()) {
      const width = (each[at] ?? 0) * scale;
      const height = how === 'stacked' ? BAR : BAR / parts.length;
      const barY = how === 'stacked' ? y : y + at * height;
      const hint = `<title>${escaped(`${shown.name}, ${name}: ${number(each[at] ?? 0)}`)}</title>`;
      lines.push(
        `<rect x="${round(x)}" y="${barY}" width="${round(width)}" height="${height}" fill="${colour}">${hint}</rect>`,
      );
      if (how === 'stacked') x += width;
    }
    const told = how === 'stacked' ? number(lengths[row] ?? 0) : each.map(number).join(' / ');
    lines.push(text(LABELS + (lengths[row] ?? 0) * scale + 6, y + BAR - 4, told, '#222'));
  }
  return { lines, bottom: top + 14 + all.length * ROW };
}

function text(x: number, y: number, content: string, colour: string): string {
  return `<text x="${round(x)}" y="${y}" fill="${colour}">${escaped(content)}</text>`;
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function number(value: number): string {
  return value >= 10 ? Math.round(value).toLocaleString('en-US') : value.toFixed(1);
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
