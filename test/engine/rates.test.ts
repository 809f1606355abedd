/** Limits on a sender and on an account: kept, used up, shared, and in nobody's way. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RateLimit, SharedRates } from '../../src/engine/ports.ts';
import { LocalRate, type Rate, SharedRate } from '../../src/engine/rates.ts';
import { Bed, CHANNEL, channelOf, nackOf, START, SteppedTime } from '../support/engine.ts';

/** Time as a rate sees it. */
const clockOf = (time: SteppedTime) => ({
  monotonic: () => time.now,
  after: (delayMs: number, run: () => void) => time.after(delayMs, run),
});

const roomNames = (count: number): string[] => Array.from({ length: count }, (_, index) => `r${index}`);
const WHOLE = () => 1;

/** When each of so many requests, all made at once, gets its token. */
async function served(rate: Rate, time: SteppedTime, count: number, overMs: number): Promise<number[]> {
  const at: number[] = [];
  for (let n = 0; n < count; n++) rate.take(() => at.push(time.now - START));
  await time.advance(overMs);
  return at;
}

describe('the own share', () => {
  it('lets a burst through at once and then keeps the pace, in order', async () => {
    const time = new SteppedTime();
    const rate = new LocalRate({ perSecond: 10, burst: 3 }, clockOf(time), WHOLE);
    expect(await served(rate, time, 6, 1_000)).toEqual([0, 0, 0, 100, 200, 300]);
  });

  it('is as large as the part of the shards', async () => {
    const time = new SteppedTime();
    const rate = new LocalRate({ perSecond: 10, burst: 4 }, clockOf(time), () => 0.5);
    expect(await served(rate, time, 4, 1_000)).toEqual([0, 0, 200, 400]);
  });

  it('gives nothing to whoever comes while others wait', async () => {
    const time = new SteppedTime();
    const rate = new LocalRate({ perSecond: 10, burst: 1 }, clockOf(time), WHOLE);
    expect(rate.tryTake()).toBe(true);
    rate.take(() => undefined);
    await time.advance(100);
    expect(rate.tryTake()).toBe(false);
    await time.advance(100);
    expect(rate.tryTake()).toBe(true);
  });

  it('gets back the token of whoever no longer waits, and what was not used', async () => {
    const time = new SteppedTime();
    const rate = new LocalRate({ perSecond: 10, burst: 1 }, clockOf(time), WHOLE);
    rate.take(() => undefined);
    const leave = rate.take(() => expect.unreachable());
    leave();
    leave();
    const at: number[] = [];
    rate.take(() => at.push(time.now - START));
    await time.advance(100);
    expect(at).toEqual([100]);
    rate.giveBack();
    expect(rate.tryTake()).toBe(true);
    expect(rate.tryTake()).toBe(false);
  });

  it('serves nobody in the midst of who gives a token back, but soon', async () => {
    const time = new SteppedTime();
    const rate = new LocalRate({ perSecond: 1, burst: 1 }, clockOf(time), WHOLE);
    rate.take(() => undefined);
    const at: number[] = [];
    rate.take(() => at.push(time.now - START));
    rate.giveBack();
    expect(at).toEqual([]);
    await time.advance(1);
    expect(at).toEqual([1]);
  });

  it('grows for whoever waits already, when more shards are there', async () => {
    const time = new SteppedTime();
    let share = 1 / 64;
    const rate = new LocalRate({ perSecond: 64, burst: 1 }, clockOf(time), () => share);
    const at: number[] = [];
    for (let n = 0; n < 100; n++) rate.take(() => at.push(time.now - START));
    await time.advance(1_500);
    expect(at).toEqual([0, 1_000]);
    share = 1;
    await time.advance(2_500);
    expect(at).toHaveLength(100);
  });

  it('makes up for a wait that ended a little late, and for no more', async () => {
    const time = new SteppedTime();
    let lateMs = 0;
    const clock = { ...clockOf(time), after: (ms: number, run: () => void) => time.after(ms + lateMs, run) };
    const rate = new LocalRate({ perSecond: 100, burst: 1 }, clock, WHOLE);
    const at: number[] = [];
    const take = (): void => void rate.take(() => at.push(time.now - START));
    take();
    lateMs = 500;
    for (let n = 0; n < 10; n++) take();
    lateMs = 0;
    await time.advance(1_000);
    expect(at).toEqual([0, 510, 510, 510, 520, 530, 540, 550, 560, 570, 580]);
  });

  it('is exceeded in no stretch of time, and wastes nothing', () => {
    const limits = fc.record({ perSecond: fc.integer({ min: 1, max: 200 }), burst: fc.integer({ min: 1, max: 50 }) });
    const pauses = fc.array(fc.nat(50), { minLength: 2, maxLength: 100 });
    return fc.assert(
      fc.asyncProperty(limits, pauses, async (limit, waits) => {
        const time = new SteppedTime();
        const rate = new LocalRate(limit, clockOf(time), WHOLE);
        const at: number[] = [];
        for (const waitMs of waits) {
          await time.advance(waitMs);
          rate.take(() => at.push(time.now));
        }
        await time.advance(200_000);
        expect(at).toHaveLength(waits.length);
        for (const [i, from] of at.entries()) {
          const to = at.at(-1) as number;
          // Timers are of whole milliseconds.
          expect(at.length - i).toBeLessThanOrEqual(limit.burst + ((to - from + 1) * limit.perSecond) / 1_000 + 1e-6);
        }
      }),
      { numRuns: 30 },
    );
  });
});

/** What all processes keep together, as a store of the test that may be away. */
class Kept implements SharedRates {
  readonly #rate: LocalRate;
  readonly #time: SteppedTime;
  away = false;
  asked = 0;
  granted = 0;

  constructor(limit: RateLimit, time: SteppedTime) {
    this.#rate = new LocalRate(limit, clockOf(time), WHOLE);
    this.#time = time;
  }

  async take(_name: string, _limit: RateLimit, want: number): Promise<{ granted: number; waitMs: number }> {
    this.asked++;
    await new Promise<void>((resolve) => this.#time.after(1, resolve));
    if (this.away) throw new Error('away');
    let granted = 0;
    while (granted < want && this.#rate.tryTake()) granted++;
    this.granted += granted;
    return { granted, waitMs: 5 };
  }
}

describe('what is shared', () => {
  const limit = { perSecond: 100, burst: 10 };
  const two = (time: SteppedTime, kept: Kept): Rate[] =>
    [1, 2].map(
      () => new SharedRate('channel', limit, kept, clockOf(time), new LocalRate(limit, clockOf(time), () => 0.5)),
    );

  it('is exceeded by two processes together no more than by one', async () => {
    const time = new SteppedTime();
    const kept = new Kept(limit, time);
    const at: number[] = [];
    for (const rate of two(time, kept)) {
      for (let n = 0; n < 60; n++) rate.take(() => at.push(time.now - START));
    }
    await time.advance(1_000);
    expect(at.length).toBeGreaterThan(100);
    expect(at.length).toBeLessThanOrEqual(110);
    expect(kept.asked).toBeLessThan(at.length);
    await time.advance(1_000);
    expect(at).toHaveLength(120);
  });

  it('goes to the one process that needs it', async () => {
    const time = new SteppedTime();
    const [busy] = two(time, new Kept(limit, time));
    expect((await served(busy as Rate, time, 100, 1_000)).length).toBeGreaterThan(95);
  });

  it('falls back to shares while it is away, and comes back', async () => {
    const time = new SteppedTime();
    const kept = new Kept(limit, time);
    const [rate] = two(time, kept);
    kept.away = true;
    // 5 at once, and then 50 in a second: half of the limit. The first millisecond goes by with asking.
    expect(await served(rate as Rate, time, 100, 1_000)).toHaveLength(54);
    const { asked } = kept;
    kept.away = false;
    await time.advance(2_000);
    expect((rate as Rate).tryTake()).toBe(false);
    await time.advance(10);
    expect(kept.asked).toBe(asked + 1);
    expect((rate as Rate).tryTake()).toBe(true);
  });

  it('forgets tokens that nobody used in time', async () => {
    const time = new SteppedTime();
    const kept = new Kept(limit, time);
    const [rate] = two(time, kept) as [Rate];
    rate.tryTake();
    await time.advance(10);
    expect(rate.tryTake()).toBe(true);
    await time.advance(5_000);
    expect(rate.tryTake()).toBe(false);
  });

  it('forgets whoever leaves before a token has come', async () => {
    const time = new SteppedTime();
    const [rate] = two(time, new Kept(limit, time)) as [Rate];
    const leave = rate.take(() => expect.unreachable());
    leave();
    expect(await served(rate, time, 3, 1_000)).toHaveLength(3);
  });
});

describe('a channel with a limit', () => {
  const timesOf = (bed: Bed): number[] => bed.platform.sends.map(({ at }) => at - START);

  it('sends at its pace, whoever waits, and holds nobody for longer', async () => {
    const bed = new Bed({ channels: [channelOf({ channelLimit: { perSecond: 10, burst: 2 } })] });
    const process = await bed.boot();
    bed.platform.answers = () => ({ kind: 'accepted', platformId: null, platformAt: null, duplicate: false });
    for (const room of roomNames(6)) await process.publish(room, ['a']);
    expect(process.engine.channels.get(CHANNEL)?.queued).toBe(4);
    await bed.time.advance(1_000);
    expect(timesOf(bed)).toEqual([0, 0, 100, 200, 300, 400]);
    expect(bed.platform.log).toEqual(roomNames(6).map((room) => `${room}/a`));
  });

  it('shares the limit of its account', async () => {
    const accountLimit = { perSecond: 10, burst: 1 };
    const other = { tenant: 'default', channel: 'other' };
    const bed = new Bed({ channels: [channelOf({ accountLimit }), channelOf({ key: other, accountLimit })] });
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await process.publish('s', ['a'], { key: { ...other, room: 's' } });
    await process.publish('t', ['a']);
    await bed.time.advance(1_000);
    expect(timesOf(bed)).toEqual([0, 100, 200]);
  });

  it('that is stopped meanwhile lets none of them through but its probe, and they keep their places', async () => {
    const bed = new Bed({ channels: [channelOf({ channelLimit: { perSecond: 10, burst: 1 } })] });
    const process = await bed.boot();
    for (const room of roomNames(5)) await process.publish(room, ['a']);
    await bed.platform.last.refuse(nackOf({ scope: 'channel', permanent: true, code: 'token_revoked' }));
    await bed.time.advance(950);
    expect(bed.platform.log).toEqual(['r0/a']);
    bed.platform.answers = () => ({ kind: 'accepted', platformId: null, platformAt: null, duplicate: false });
    await bed.time.advance(2_000);
    expect(bed.platform.log).toEqual(['r0/a', 'r1/a', 'r2/a', 'r3/a', 'r4/a', 'r0/a']);
  });

  it('ends while rooms wait for tokens', async () => {
    const bed = new Bed({ channels: [channelOf({ channelLimit: { perSecond: 1, burst: 1 } })] });
    const process = await bed.boot();
    for (const room of roomNames(3)) await process.publish(room, ['a']);
    await bed.platform.last.accept();
    const stopped = process.engine.service.stop();
    await bed.time.advance(20_000);
    await stopped;
    expect(bed.platform.log).toEqual(['r0/a']);
  });
});
