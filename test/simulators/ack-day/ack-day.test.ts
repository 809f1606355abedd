import { beforeAll, describe, expect, it } from 'vitest';
import { type Day, runDay } from '../../../simulators/ack-day/day.ts';
import { type Figures, figuresOf, wrongWith } from '../../../simulators/ack-day/figures.ts';
import { tableOf } from '../../../simulators/ack-day/report.ts';
import type { DayPolicy } from '../../../simulators/ack-day/settings.ts';

const HOURS = 2;
const SMALL = { seed: 1, scale: 1.5, hours: HOURS };
const TINY = { seed: 2, scale: 0.2, hours: 1 };
const FIXED: DayPolicy = { name: 'fixed', ackTimeout: { mode: 'fixed' }, outages: false };
const ADAPTIVE: DayPolicy = { name: 'adaptive', ackTimeout: { mode: 'adaptive', quantile: 0.9 }, outages: true };

const figures = (day: Day, hours = HOURS): ReturnType<typeof figuresOf> => figuresOf(day, hours * 3_600_000);

describe('a small day', () => {
  let fixed: ReturnType<typeof figuresOf>;
  let adaptive: ReturnType<typeof figuresOf>;
  beforeAll(async () => {
    fixed = figures(await runDay(SMALL, FIXED));
    adaptive = figures(await runDay(SMALL, ADAPTIVE));
  }, 60_000);

  it('has acks that never come, acks after X, and messages that a fixed X gives up for neither reason', () => {
    const { messages, never, ackedLater, wrong, wrongInIncidents, proven, outageMinutes } = fixed.all;
    expect(messages).toBeGreaterThan(7_000);
    expect(never / messages).toBeGreaterThan(0.1);
    expect(ackedLater).toBeGreaterThan(0);
    expect([wrong, wrongInIncidents, outageMinutes]).toEqual([0, 0, 0]);
    expect(proven + never + ackedLater).toBe(messages);
  });

  it('shows what is gained and what it costs: less waiting, faster turns, some acks given up', () => {
    expect(adaptive.all.messages).toBe(fixed.all.messages);
    expect(adaptive.all.waitedForNothingMs).toBeLessThan(fixed.all.waitedForNothingMs);
    expect(adaptive.all.turnMs).toBeLessThan(fixed.all.turnMs);
    expect(adaptive.all.wrong).toBeGreaterThan(0);
    expect(adaptive.all.proven).toBeLessThan(fixed.all.proven);
    expect(adaptive.all.outageMinutes).toBeGreaterThan(30);
    const table = tableOf([{ policy: 'fixed', figures: fixed.all }]);
    expect(table).toContain('| fixed | 5.00 s … ');
    expect(table).not.toContain('NaN');
  });

  it('a policy that gives up more acks than it promises is named', () => {
    expect(wrongWith('adaptive', 0.9, [adaptive.all, ...adaptive.each])).toEqual([]);
    expect(wrongWith('adaptive', 0.9999, [adaptive.all])).toEqual([
      expect.stringMatching(/^adaptive, all: gave up \d+\.\d\d % of the acks within X$/),
    ]);
    expect(wrongWith('fixed', 0.9999, [fixed.all, ...fixed.each])).toEqual([]);
    expect(wrongWith('fixed', 0.9, [{ ...fixed.all, swapsOfProven: 2 }])).toEqual([
      'fixed, all: 2 acked messages were overtaken',
    ]);
  });
});

it('tells the same of the same seed', async () => {
  const [first, second] = [await runDay(TINY, ADAPTIVE), await runDay(TINY, ADAPTIVE)].map((day) => figures(day, 1));
  expect(first).toEqual(second as { all: Figures; each: Figures[] });
}, 30_000);
