/** The figures of a fleet, as text, and what is wrong with them. */
import type { FleetFigures, PhaseFigures, Quantiles } from './script.ts';

export function phaseLine({ name, seconds, workers, moved, least, settledMs, standstill }: PhaseFigures): string {
  const settled = settledMs === null || settledMs === 0 ? '' : `, settled ${ms(settledMs)} after the last step`;
  const stood = (['hand-over', 'death'] as const).flatMap((cause) => {
    const figures = standstill[cause];
    return figures === null ? [] : [`  ${cause}: ${quantilesText(figures)}`];
  });
  const ratio = least === 0 ? '' : ` (least ${least}, ${(moved / least).toFixed(2)} ×)`;
  return [
    `${name}: ${seconds.toFixed(1)} s, then ${workers} workers, ${moved} shards moved${ratio}${settled}`,
    ...stood,
  ].join('\n');
}

function quantilesText({ rooms, p50, p99, max }: Quantiles): string {
  return `${rooms} rooms stood still for ${ms(p50)} (p50), ${ms(p99)} (p99), ${ms(max)} (greatest)`;
}

function ms(value: number): string {
  return value < 1_000 ? `${Math.round(value)} ms` : `${(value / 1_000).toFixed(1)} s`;
}

export function reportOf({ phases }: FleetFigures): string {
  const names = [...new Set(phases.flatMap(({ statements }) => [...statements.byName.keys()]))];
  const rows = phases.map(({ name, seconds, statements, unevenness }) => {
    const perSecond = (count: number): string =>
      count === 0 ? '-' : (count / seconds).toFixed(count / seconds < 10 ? 1 : 0);
    const { statements: most, written } = statements.busiestSecond;
    return [
      name,
      ...names.map((statement) => perSecond(statements.byName.get(statement)?.statements ?? 0)),
      perSecond(statements.total),
      String(most),
      String(statements.busiestTenth),
      String(written),
      perSecond(statements.flushes),
      unevenness.shards.toFixed(3),
      unevenness.rooms.toFixed(3),
    ];
  });
  const head = [
    'statements per second',
    ...names,
    'all',
    'busiest 1 s',
    'busiest 0.1 s',
    'rows written in the busiest 1 s',
    'flushes of signals',
    'max/mean shards',
    'rooms',
  ];
  return `\n${table([head, ...rows])}\n`;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  '),
    )
    .join('\n');
}

export function wrongWith({ broken, phases, settings }: FleetFigures): readonly string[] {
  const wrong = [...broken.slice(0, 20)];
  for (const { name, unevenness, standstill, moved, least } of phases) {
    if (unevenness.shards > 1.06) wrong.push(`${name}: max/mean ${unevenness.shards.toFixed(3)}`);
    if (standstill.death !== null && standstill.death.p99 > settings.leaseMs + 1_000) {
      wrong.push(`${name}: rooms of the dead stand still for ${ms(standstill.death.p99)} (p99)`);
    }
    if (name.startsWith('one ') && moved > 1.1 * least + 1) wrong.push(`${name}: ${moved} shards moved, not ${least}`);
  }
  return wrong;
}
