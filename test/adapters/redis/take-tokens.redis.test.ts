/** The script that keeps a limit, on a real Redis: with that server's own time, and with time that the test sets. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RateLimit } from '../../../src/engine/ports.ts';
import { LocalRate } from '../../../src/engine/rates.ts';
import { describeRedis } from '../../support/describe-redis.ts';
import { type RedisServer, startRedis } from '../../support/redis.ts';
import { Client, SCRIPT } from './fixture.ts';

type Script = (key: string, args: readonly (string | number)[]) => Promise<unknown>;

/** The script as it is, which tells afterwards at which microsecond it decided. */
const RECORDED = `local taken = (function() ${SCRIPT} end)()
  return { taken[1], string.match(redis.call('GET', KEYS[1]), ' (%d+)$') }`;

const READS_TIME = "redis.call('TIME')";
/** The script at a time that it is given, with what it keeps kept for good. */
const TIMED = `local taken = (function() ${SCRIPT.replace(READS_TIME, '{ ARGV[4], ARGV[5] }')} end)()
  redis.call('PERSIST', KEYS[1])
  return taken`;

const START_MS = 1_700_000_000_000;
let names = 0;

/** One limit in time that only the test moves. */
class Timed {
  readonly #script: Script;
  readonly #name = `timed ${++names}`;
  nowMs = START_MS;

  constructor(script: Script) {
    this.#script = script;
  }

  async take(limit: RateLimit, want: number): Promise<{ granted: number; waitMs: number }> {
    const time = [Math.floor(this.nowMs / 1_000), (this.nowMs % 1_000) * 1_000];
    const reply = await this.#script(this.#name, [limit.perSecond, limit.burst, want, ...time]);
    const [granted, waitMs] = reply as [number, number];
    return { granted, waitMs };
  }
}

const limits = fc.record({
  perSecond: fc.oneof(fc.integer({ min: 1, max: 5_000 }), fc.double({ min: 0.01, max: 100, noNaN: true })),
  burst: fc.integer({ min: 1, max: 200 }),
});

describeRedis('the script that takes tokens', (program) => {
  let server: RedisServer;
  const clients: Client[] = [];

  beforeAll(async () => {
    server = await startRedis(program);
    for (let n = 0; n < 2; n++) clients.push(await new Client({ url: server.url }).untilUp());
  });

  afterAll(async () => {
    await Promise.all(clients.map(({ connection }) => connection.close()));
    await server?.stop();
  });

  const [recorded, timed] = [
    () => clients.map(({ connection }) => connection.script('recorded', RECORDED)),
    () => (clients[0] as Client).connection.script('timed', TIMED),
  ];

  it('gives two processes together what one may have: no more in any stretch of its time, and no less', async () => {
    // All of it is taken first, and so much does not come back while the machine is busy elsewhere: nothing is wasted.
    const limit = { perSecond: 250, burst: 500 };
    const asked: { readonly at: number; readonly granted: number }[] = [];
    const ask = async (script: Script, want: number): Promise<void> => {
      const [granted, at] = (await script('hammered', [limit.perSecond, limit.burst, want])) as [number, string];
      asked.push({ at: Number(at), granted });
    };
    const askOn = async (script: Script, end: number): Promise<void> => {
      for (let n = 0; performance.now() < end; n++) await ask(script, 1 + (n % 7));
    };
    const scripts = recorded();
    await ask(scripts[0] as Script, limit.burst);
    const end = performance.now() + 1_000;
    await Promise.all([...scripts, ...scripts].map((script) => askOn(script, end)));
    await ask(scripts[0] as Script, limit.burst);

    asked.sort((a, b) => a.at - b.at);
    const allowed = (fromAt: number, toAt: number): number => limit.burst + ((toAt - fromAt) * limit.perSecond) / 1e6;
    const grants = asked.filter(({ granted }) => granted > 0);
    for (const [i, from] of grants.entries()) {
      let sum = 0;
      for (const to of grants.slice(i)) {
        sum += to.granted;
        if (sum > allowed(from.at, to.at) + 1e-6) expect.fail(`${sum} in ${to.at - from.at} us`);
      }
    }
    const [first, last] = [asked[0]?.at ?? 0, asked.at(-1)?.at ?? 0];
    expect(last - first).toBeGreaterThan(500_000);
    expect(grants.reduce((sum, { granted }) => sum + granted, 0)).toBe(Math.floor(allowed(first, last) + 1e-6));
  });

  it('decides as the limit of one process does, whatever is asked and when', async () => {
    const script = timed();
    // Of rates whose pace is in whole milliseconds, so that the model, too, is exact.
    const exact = fc.record({
      perSecond: fc.constantFrom(0.5, 1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 125, 200, 250, 500, 1_000),
      burst: fc.integer({ min: 1, max: 30 }),
    });
    const steps = fc.array(fc.tuple(fc.oneof(fc.nat(20), fc.nat(5_000)), fc.integer({ min: 1, max: 12 })), {
      minLength: 1,
      maxLength: 40,
    });
    await fc.assert(
      fc.asyncProperty(exact, steps, async (limit, all) => {
        const limited = new Timed(script);
        const clock = { monotonic: () => limited.nowMs, after: () => expect.unreachable() };
        const model = new LocalRate(limit, clock, () => 1);
        for (const [pauseMs, want] of all) {
          limited.nowMs += pauseMs;
          let expected = 0;
          while (expected < want && model.tryTake()) expected++;
          const { granted, waitMs } = await limited.take(limit, want);
          expect(granted).toBe(expected);
          expect(waitMs === 0 || granted === want || waitMs <= Math.ceil(1_000 / limit.perSecond)).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('tells in how many milliseconds the next token comes: then it does, and not one earlier', async () => {
    const script = timed();
    await fc.assert(
      fc.asyncProperty(limits, fc.nat(2_000), fc.integer({ min: 1, max: 50 }), async (limit, pauseMs, want) => {
        const limited = new Timed(script);
        await limited.take(limit, limit.burst);
        limited.nowMs += pauseMs;
        // All that is there by now; of a partial answer, too, the wait is that for the next token.
        const { waitMs } = await limited.take(limit, limit.burst);
        if (waitMs > 1) {
          limited.nowMs += waitMs - 1;
          expect((await limited.take(limit, want)).granted).toBe(0);
          limited.nowMs += 1;
        } else {
          limited.nowMs += waitMs;
        }
        expect((await limited.take(limit, want)).granted).toBeGreaterThanOrEqual(1);
      }),
      { numRuns: 100 },
    );
  });

  it('gives of more than there is what there is', async () => {
    const limited = new Timed(timed());
    const limit = { perSecond: 10, burst: 5 };
    expect(await limited.take(limit, 3)).toEqual({ granted: 3, waitMs: 0 });
    expect(await limited.take(limit, 100)).toEqual({ granted: 2, waitMs: 100 });
    expect(await limited.take(limit, 1)).toEqual({ granted: 0, waitMs: 100 });
    limited.nowMs += 250;
    expect(await limited.take(limit, 3)).toEqual({ granted: 2, waitMs: 50 });
  });

  describe('when the limit has changed', () => {
    it('goes by the new pace at once, with what is not paid back yet', async () => {
      const limited = new Timed(timed());
      expect((await limited.take({ perSecond: 1, burst: 10 }, 10)).granted).toBe(10);
      expect(await limited.take({ perSecond: 100, burst: 10 }, 1)).toEqual({ granted: 0, waitMs: 10 });
      limited.nowMs += 10;
      expect(await limited.take({ perSecond: 100, burst: 10 }, 10)).toEqual({ granted: 1, waitMs: 10 });
      expect(await limited.take({ perSecond: 1, burst: 10 }, 10)).toEqual({ granted: 0, waitMs: 1_000 });
    });

    it('goes by the new burst at once, and waits for no debt that it would not have let come up', async () => {
      const limited = new Timed(timed());
      expect((await limited.take({ perSecond: 1, burst: 10 }, 10)).granted).toBe(10);
      expect((await limited.take({ perSecond: 1, burst: 100 }, 1_000)).granted).toBe(90);
      expect(await limited.take({ perSecond: 1, burst: 5 }, 1)).toEqual({ granted: 0, waitMs: 1_000 });
      limited.nowMs += 1_000;
      expect((await limited.take({ perSecond: 1, burst: 5 }, 5)).granted).toBe(1);
    });

    it('gives no more than the new limit allows from then on', async () => {
      const script = timed();
      const pauses = fc.array(fc.nat(300), { minLength: 1, maxLength: 20 });
      await fc.assert(
        fc.asyncProperty(limits, limits, pauses, async (before, after, pausesMs) => {
          const limited = new Timed(script);
          for (const pauseMs of pausesMs) {
            limited.nowMs += pauseMs;
            await limited.take(before, 10);
          }
          const since = limited.nowMs;
          let granted = 0;
          for (const pauseMs of pausesMs) {
            granted += (await limited.take(after, 1_000)).granted;
            expect(granted).toBeLessThanOrEqual(after.burst + ((limited.nowMs - since) * after.perSecond) / 1e3 + 1e-6);
            limited.nowMs += pauseMs;
          }
        }),
        { numRuns: 50 },
      );
    });
  });

  it('survives that the clock is set back: nothing is given twice, and nobody waits for the old time', async () => {
    const limited = new Timed(timed());
    const limit = { perSecond: 10, burst: 3 };
    await limited.take(limit, 3);
    limited.nowMs -= 3_600_000;
    expect(await limited.take(limit, 1)).toEqual({ granted: 0, waitMs: 100 });
    limited.nowMs += 200;
    expect((await limited.take(limit, 1)).granted).toBe(1);
    limited.nowMs -= 3_600_000;
    expect((await limited.take(limit, 3)).granted).toBe(1);
  });

  it('reads the time of the server in one place', () => {
    expect(SCRIPT.split(READS_TIME)).toHaveLength(2);
  });
});
