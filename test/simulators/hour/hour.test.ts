import { beforeAll, describe, expect, it } from 'vitest';
import { type Figures, figuresOf, wrongWith } from '../../../simulators/hour/figures.ts';
import { runHour, type Spoiled } from '../../../simulators/hour/hour.ts';
import type { HourOptions } from '../../../simulators/hour/options.ts';
import type { Engine } from '../../../src/engine/engine.ts';
import type { StatusItem } from '../../../src/engine/ports.ts';

const SMALL: HourOptions = {
  seed: 1,
  minutes: 6,
  scale: 0.1,
  processes: 2,
  killAtMinute: null,
  sweepEveryMs: null,
  outages: true,
  bursts: 'in_one_room',
};
/** Enough to break what is spoiled. */
const SHORT: HourOptions = { ...SMALL, minutes: 2, outages: false };

async function hour(options: HourOptions, spoiled: Spoiled = {}): Promise<Figures> {
  return figuresOf(await runHour(options, spoiled));
}

describe('a small hour', () => {
  let figures: Figures;
  beforeAll(async () => {
    figures = await hour(SMALL);
  }, 30_000);

  it('is clean', () => {
    expect(wrongWith(figures)).toEqual([]);
    expect(figures.findings).toEqual([]);
  });

  it('has everything in it that an hour has', () => {
    const { judged, number, statuses, states } = figures;
    expect(judged.messages).toBeGreaterThan(2_500);
    expect(judged.outcomes.acked).toBeGreaterThan(judged.messages / 2);
    expect(judged.outcomes.assumed).toBeGreaterThan(judged.messages / 10);
    expect(number.revoked).toBeGreaterThan(0);
    expect(statuses.held).toBeGreaterThan(500);
    expect(statuses.doubled).toBeGreaterThan(0);
    // Both processes learn of both outages, and of their ends.
    for (const process of ['0.1', '1.2']) {
      const of = states.filter((state) => state.includes(process)).map((state) => state.split(' ').at(-1));
      expect(of).toEqual(['ack_outage', 'open', 'stopped', 'open']);
    }
  });

  it('tells the same of the same seed', async () => {
    expect(await hour(SHORT)).toEqual(await hour(SHORT));
  }, 30_000);

  it('loses nothing where a process is killed', async () => {
    // With this seed requests are open at that moment.
    const killed = await hour({ ...SHORT, seed: 2, minutes: 3, killAtMinute: 1 });
    expect(killed.kills).toBe(1);
    expect(killed.findings).toEqual([]);
    expect([killed.judged.lost, killed.judged.swappedAfterAcked, killed.judged.copiesWithoutReason]).toEqual([0, 0, 0]);
    expect(killed.judged.unknownOutcomes).toBeGreaterThan(0);
  }, 30_000);
});

describe('the judge of an hour', () => {
  it('sees a number whose limit is ignored', async () => {
    const unlimited = { perSecond: 0, burst: 1 };
    const figures = await hour(SHORT, { channel: (settings) => ({ ...settings, channelLimit: unlimited }) });
    expect(wrongWith(figures)).toEqual(expect.arrayContaining([expect.stringContaining('130429')]));
  }, 30_000);

  it('sees rooms whose limit is ignored', async () => {
    const figures = await hour(
      { ...SHORT, minutes: 4, processes: 1 },
      {
        channel: (settings) => ({
          ...settings,
          policy: { ...settings.policy, roomLimit: { everyMs: 0, burst: 1 }, ackTimeoutMs: 50 },
        }),
      },
    );
    expect(wrongWith(figures)).toEqual(expect.arrayContaining([expect.stringContaining('131056')]));
  }, 30_000);

  it('sees an ack that settles another message', async () => {
    const figures = await hour(SHORT, { engine: exchangeReferences });
    expect(figures.findings).toEqual(
      expect.arrayContaining([expect.stringContaining('settled as acked, and no ack of its own was told')]),
    );
    expect(wrongWith(figures)).not.toEqual([]);
  }, 30_000);
});

/** In each call the first two statuses are taken for each other's. */
function exchangeReferences({ acks }: Engine): void {
  const receive = acks.receive.bind(acks);
  acks.receive = (channel, items) => {
    const [first, second, ...rest] = items;
    if (first?.kind !== 'status' || second?.kind !== 'status') return receive(channel, items);
    const exchanged: StatusItem[] = [
      { ...first, reference: second.reference },
      { ...second, reference: first.reference },
    ];
    return receive(channel, [...exchanged, ...rest]);
  };
}
