import { expect, it } from 'vitest';
import type { Shown } from './passage.ts';
import { plot } from './plot.ts';

function shown(name: string, engineUs: number, gapP50Ms: number): Shown {
  return { name, engineUs, postgresUs: 50, redisUs: 0, gapP50Ms, gapP99Ms: 4 * gapP50Ms } as Shown;
}

function widthOf(svg: string, hint: string): number {
  return Number(new RegExp(`width="([\\d.]+)"[^>]*><title>${hint}:`).exec(svg)?.[1]);
}

it('draws bars as long as what they stand for, and names them as text', () => {
  const svg = plot('a <load>', [shown('one', 100, 2), shown('two & more', 50, Number.NaN)]);
  expect(svg).toContain('<title>a &lt;load&gt;</title>');
  expect(widthOf(svg, 'one, engine')).toBeCloseTo(2 * widthOf(svg, 'two &amp; more, engine'), 0);
  expect(widthOf(svg, 'one, Postgres')).toBeCloseTo(widthOf(svg, 'two &amp; more, Postgres'), 0);
  expect(widthOf(svg, 'one, p99')).toBeCloseTo(4 * widthOf(svg, 'one, p50'), 0);
  expect(widthOf(svg, 'two &amp; more, p99')).toBe(0);
  expect(svg).not.toContain('NaN');
});
