/** What a key may ask for in a second: by one process, by all together, and while what they share is away. */
import { describe, expect, it } from 'vitest';
import type { SharedBudgets } from '../../src/engine/ports.ts';
import type { KeyLimits } from '../../src/http/keys.ts';
import { Budget } from '../../src/http/limits.ts';
import { Backend, bearer, jsonOf, keyEntries, PUBLISH, startServer } from './fixture.ts';

const MESSAGE = JSON.stringify({ channel: 'support', room: 'r', content: {} });
const batchOf = (size: number): string => JSON.stringify({ messages: Array(size).fill(JSON.parse(MESSAGE)) });

async function start(limits: KeyLimits, sharedBudgets: SharedBudgets | null = null) {
  const clock = { nowMs: 1_000 };
  const backend = new Backend();
  Object.assign(backend.dependencies, { monotonicMs: () => clock.nowMs, sharedBudgets });
  const { call } = await startServer({ keys: keyEntries((entry) => ({ ...entry, limits })) }, backend);
  const read = () => call('/v1/channels', { headers: bearer('read') });
  const publish = (body = MESSAGE) => call('/v1/messages', { method: 'POST', headers: PUBLISH, body });
  const batch = (size: number) => call('/v1/messages:batch', { method: 'POST', headers: PUBLISH, body: batchOf(size) });
  return { clock, backend, call, read, publish, batch };
}

describe('Budget', () => {
  it('gives a burst, then what has grown since', () => {
    let now = 0;
    const budget = new Budget({ perSecond: 10, burst: 3 }, () => now);
    const waits = () => budget.spend(1).waitMs;
    expect([waits(), waits(), waits(), waits()]).toEqual([0, 0, 0, 100]);
    now = 99;
    expect(waits()).toBe(1);
    now = 100;
    expect([waits(), waits()]).toEqual([0, 100]);
    now = 10_000;
    expect([waits(), waits(), waits(), waits()]).toEqual([0, 0, 0, 100]);
  });

  it('lets a large cost through once, and has it paid before anything else', () => {
    let now = 0;
    const budget = new Budget({ perSecond: 100, burst: 10 }, () => now);
    expect(budget.spend(500)).toEqual({ waitMs: 0, debt: 500 });
    expect(budget.spend(1).waitMs).toBe(4_910);
    now = 4_910;
    expect(budget.spend(1)).toEqual({ waitMs: 0, debt: 10 });
  });
});

describe('limits of a key', () => {
  it('refuse what is too much with a code, the time to wait and what is left; other keys are not moved', async () => {
    const { clock, call, read } = await start({ requests: { perSecond: 2, burst: 2 } });
    const first = await read();
    expect(first.status).toBe(200);
    expect(first.headers.get('ratelimit-policy')).toBe('"requests";q=2;w=1');
    expect(first.headers.get('ratelimit')).toBe('"requests";r=1;t=1');
    await read();
    const third = await read();
    expect(third.status).toBe(429);
    expect(third.headers.get('retry-after')).toBe('1');
    expect(third.headers.get('ratelimit')).toBe('"requests";r=0;t=1');
    expect(await jsonOf(third)).toMatchObject({
      code: 'rate_limited',
      retryable: true,
      retryAfterMs: 500,
      rule: '2 requests a second, 2 at once',
    });
    expect((await call('/v1/ops/channels', { headers: bearer('operate') })).status).toBe(404);
    clock.nowMs += 500;
    expect((await read()).status).toBe(200);
  });

  it('count requests that are refused for their scope, and none without a key', async () => {
    const { call } = await start({ requests: { perSecond: 1, burst: 1 } });
    const forbidden = () => call('/v1/messages', { method: 'POST', headers: bearer('read') });
    expect([(await forbidden()).status, (await forbidden()).status]).toEqual([403, 429]);
    for (let count = 0; count < 3; count++) expect((await call('/v1/channels')).status).toBe(401);
  });

  it('count messages, in batches too, and take nothing of what they refuse', async () => {
    const { clock, backend, batch, publish } = await start({ messages: { perSecond: 10, burst: 5 } });
    expect((await batch(20)).status).toBe(202);
    const refused = await publish();
    expect(refused.status).toBe(429);
    expect(await jsonOf(refused)).toMatchObject({ retryAfterMs: 1_600, rule: '10 messages a second, 5 at once' });
    expect((await batch(1)).status).toBe(429);
    expect(backend.published).toHaveLength(20);
    clock.nowMs += 1_600;
    expect((await publish()).status).toBe(202);
    expect((await publish('{')).status).toBe(400);
  });

  it('are those of all processes together where something is shared', async () => {
    const asked: (readonly [string, number])[] = [];
    const shared: SharedBudgets = {
      spend: async (name, _limit, cost) => {
        asked.push([name, cost]);
        return asked.length > 2 ? { waitMs: 700, debt: 5 } : { waitMs: 0, debt: asked.length };
      },
    };
    const { clock, read, publish } = await start(
      { requests: { perSecond: 5, burst: 5 }, messages: { perSecond: 5, burst: 5 } },
      shared,
    );
    expect((await publish()).status).toBe(202);
    expect(asked).toEqual([
      ['publish/requests', 1],
      ['publish/messages', 1],
    ]);
    expect([(await read()).status, (await read()).status]).toEqual([429, 429]);
    // The second was refused without asking again.
    expect(asked).toHaveLength(3);
    clock.nowMs += 700;
    await read();
    expect(asked).toHaveLength(4);
  });

  it('are kept by the process alone while what is shared is away', async () => {
    let calls = 0;
    const shared: SharedBudgets = { spend: () => Promise.reject(new Error(`away ${++calls}`)) };
    const { clock, read } = await start({ requests: { perSecond: 1, burst: 2 } }, shared);
    expect([(await read()).status, (await read()).status, (await read()).status]).toEqual([200, 200, 429]);
    expect(calls).toBe(1);
    clock.nowMs += 1_000;
    expect((await read()).status).toBe(200);
    expect(calls).toBe(2);
  });
});
