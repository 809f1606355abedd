import type { Static } from 'typebox';
import { Type } from 'typebox';
import type { Draws } from './random.ts';

const milliseconds = Type.Number({ minimum: 0 });
const strict = { additionalProperties: false } as const;

/** A duration in milliseconds: fixed, or drawn anew for each use. */
export const SimpleDelay = Type.Union([
  milliseconds,
  Type.Object({ kind: Type.Literal('uniform'), minMs: milliseconds, maxMs: milliseconds }, strict),
  Type.Object(
    { kind: Type.Literal('lognormal'), medianMs: Type.Number({ exclusiveMinimum: 0 }), p99Ms: milliseconds },
    strict,
  ),
  /** Heavy tail: Pareto from `minMs` on, cut at `maxMs`; the smaller the shape, the heavier. */
  Type.Object(
    {
      kind: Type.Literal('pareto'),
      minMs: Type.Number({ exclusiveMinimum: 0 }),
      shape: Type.Number({ exclusiveMinimum: 0 }),
      maxMs: milliseconds,
    },
    strict,
  ),
]);

export const Delay = Type.Union([
  SimpleDelay,
  Type.Object(
    {
      kind: Type.Literal('bimodal'),
      fast: SimpleDelay,
      slow: SimpleDelay,
      slowShare: Type.Number({ minimum: 0, maximum: 1 }),
    },
    strict,
  ),
]);

export type Delay = Static<typeof Delay>;

/** The 99th percentile of the standard normal distribution. */
const NORMAL_P99 = 2.3263478740408408;

export const drawDelayMs = (delay: Delay, draws: Draws, purpose: number): number => {
  if (typeof delay === 'number') return delay;
  switch (delay.kind) {
    case 'uniform':
      return delay.minMs + draws.uniform(purpose) * (delay.maxMs - delay.minMs);
    case 'lognormal': {
      const sigma = Math.log(delay.p99Ms / delay.medianMs) / NORMAL_P99;
      return delay.medianMs * Math.exp(sigma * draws.normal(purpose));
    }
    case 'pareto':
      return Math.min(delay.maxMs, delay.minMs / (1 - draws.uniform(purpose)) ** (1 / delay.shape));
    case 'bimodal':
      return drawDelayMs(draws.uniform(purpose, 2) < delay.slowShare ? delay.slow : delay.fast, draws, purpose);
  }
};

/** What the schema cannot say: bounds in the right order. Returns a complaint, or nothing. */
export const delayComplaint = (delay: { kind?: unknown } & Record<string, unknown>): string | undefined => {
  const number = (name: string) => delay[name] as number;
  if (delay.kind === 'uniform' && number('maxMs') < number('minMs')) return 'maxMs must be >= minMs';
  if (delay.kind === 'lognormal' && number('p99Ms') < number('medianMs')) return 'p99Ms must be >= medianMs';
  if (delay.kind === 'pareto' && number('maxMs') < number('minMs')) return 'maxMs must be >= minMs';
  return undefined;
};
