/** Charts over time, drawn by uPlot, and a line without axes. */
import { useEffect, useRef, useState } from 'preact/hooks';
import UPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { dayOf, minute } from '../format.ts';
import { colourOf, paletteVersion } from '../theme.ts';
import type { Tone } from './parts.tsx';

export interface Series {
  readonly label: string;
  readonly tone: Tone;
  readonly values: readonly (number | null)[];
  readonly kind?: 'line' | 'area' | 'bars';
  readonly dashed?: boolean;
}

export interface ChartProps {
  /** What a screen reader says it is; the last values are said with it. */
  readonly label: string;
  /** ms since 1970, ascending. */
  readonly times: readonly number[];
  readonly series: readonly Series[];
  readonly format: (value: number) => string;
  readonly height?: number;
  /** The axis reaches at least from 0 to this. */
  readonly least?: number;
}

const DAY_MS = 86_400_000;

export function Chart({ label, times, series, format, height = 190, least = 1 }: ChartProps) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const palette = paletteVersion.value;
  const shape = JSON.stringify([series.map((one) => [one.label, one.tone, one.kind, one.dashed]), height]);
  const formatted = useRef(format);
  formatted.current = format;

  useEffect(() => {
    const element = frame.current;
    if (element === null) return undefined;
    const made = new UPlot(
      {
        width: element.clientWidth,
        height,
        legend: { show: false },
        cursor: {
          y: false,
          drag: { x: false, y: false },
          points: { size: 7, width: 2 },
        },
        hooks: { setCursor: [(self) => setAt(self.cursor.idx ?? null)] },
        scales: {
          y: { range: (_plot, _low, high) => [0, Math.max(least, (high ?? 0) * 1.12)] },
        },
        axes: [
          {
            ...axisLook(),
            size: 26,
            space: 64,
            values: (self, splits) => {
              const { min = 0, max = 0 } = self.scales.x ?? {};
              const isLong = ((max ?? 0) - (min ?? 0)) * 1_000 > 2 * DAY_MS;
              return splits.map((second) => (isLong ? dayOf(second * 1_000) : minute(second * 1_000)));
            },
          },
          {
            ...axisLook(),
            size: 52,
            space: 34,
            values: (_self, splits) => splits.map((value) => (value === null ? '' : formatted.current(value))),
          },
        ],
        series: [{}, ...series.map(seriesLook)],
      },
      dataOf(times, series),
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape, palette]);

  useEffect(() => {
    plot.current?.setData(dataOf(times, series));
  }, [times, series]);

  const shown = at !== null && at < times.length ? at : times.length - 1;
  const valueAt = (one: Series, index: number): string => {
    const value = one.values[index];
    return value === null || value === undefined ? '–' : format(value);
  };
  const said = series.map((one) => `${one.label} ${valueAt(one, times.length - 1)}`).join(', ');
  const when = times[shown];
  const isEmpty = series.every(isNothing);
  return (
    <div class="chart">
      <div class="chart-legend" aria-hidden="true">
        {series.map((one) => (
          <span key={one.label} class="key" data-tone={one.tone}>
            {one.label} <b>{valueAt(one, shown)}</b>
          </span>
        ))}
        {when !== undefined && <span class="when">{minute(when)}</span>}
      </div>
      {isEmpty && <p class="chart-empty">Nothing in this time yet</p>}
      <div class="chart-plot" ref={frame} role="img" aria-label={`${label}. Latest: ${said}.`} />
    </div>
  );
}

function dataOf(times: readonly number[], series: readonly Series[]): UPlot.AlignedData {
  return [times.map((ms) => ms / 1_000), ...series.map(drawnOf)];
}

/** Zeros beside zeros are not drawn: a line along the axis says nothing, and hides what it covers. */
function drawnOf({ values, kind }: Series): (number | null)[] {
  if (kind === 'bars') return [...values];
  const isZero = (at: number): boolean => (values[at] ?? 0) === 0;
  return values.map((value, at) => (value === 0 && isZero(at - 1) && isZero(at + 1) ? null : value));
}

function isNothing({ values }: Series): boolean {
  return values.every((value) => value === null || value === 0);
}

/** A value without neighbours has no line: it is a point. */
const aloneIn: UPlot.Series.Points.Filter = (plot, index) => {
  const values = plot.data[index] ?? [];
  const isThere = (at: number): boolean => values[at] !== null && values[at] !== undefined;
  return [...values.keys()].filter((at) => isThere(at) && !isThere(at - 1) && !isThere(at + 1));
};

function axisLook(): UPlot.Axis {
  const line = colourOf('line');
  return {
    stroke: colourOf('ink-3'),
    font: `11px ${getComputedStyle(document.body).fontFamily}`,
    grid: { stroke: line, width: 1 },
    ticks: { show: false },
    gap: 6,
  };
}

function seriesLook({ label, tone, kind = 'line', dashed = false }: Series): UPlot.Series {
  const stroke = colourOf(tone === 'info' ? 'accent' : `${tone}-fill`);
  const translucent = (share: number): string => stroke.replace(/^rgb\((.*)\)$/, `rgba($1, ${share})`);
  const common = {
    label,
    stroke,
    width: kind === 'bars' ? 0 : 1.75,
    points: { show: true, size: 5, fill: stroke, filter: aloneIn },
    spanGaps: false,
  };
  if (kind === 'bars') {
    const paths = UPlot.paths.bars?.({ size: [0.72, 24], radius: 0.25 });
    return { ...common, fill: translucent(0.8), ...(paths === undefined ? {} : { paths }) };
  }
  const paths = UPlot.paths.spline?.();
  return {
    ...common,
    ...(paths === undefined ? {} : { paths }),
    ...(dashed ? { dash: [4, 4] } : {}),
    ...(kind === 'area' ? { fill: translucent(0.12) } : {}),
  };
}

export interface SparklineProps {
  readonly label: string;
  readonly values: readonly number[];
  readonly tone: Tone;
}

/** The course of one number, without axes. */
export function Sparkline({ label, values, tone }: SparklineProps) {
  const high = Math.max(1, ...values);
  const step = 100 / Math.max(1, values.length - 1);
  const line = values
    .map((value, index) => `${(index * step).toFixed(2)},${(28 - (26 * value) / high).toFixed(2)}`)
    .join('L');
  return (
    <svg
      class="sparkline"
      data-tone={tone}
      viewBox="0 0 100 30"
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      {values.length > 1 && (
        <>
          <path class="area" d={`M0,30L${line}L100,30Z`} />
          <path d={`M${line}`} />
        </>
      )}
    </svg>
  );
}
