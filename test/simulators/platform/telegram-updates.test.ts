import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock, systemTimers } from '../../../simulators/platform/clock.ts';
import { TelegramUpdates, type UpdateAnswer, type UpdateEnd } from '../../../simulators/platform/telegram-updates.ts';
import { open, SECRET } from '../../platforms/telegram/support.ts';

const DAY_S = 86_400;

/** A webhook in virtual time: `answers` says what each call gets. */
function virtual(answer: (body: { update_id: number }, number: number) => UpdateAnswer | number, random = 0) {
  let now = 0;
  const alarms = new Map<object, { at: number; run: () => void }>();
  const calls: { update: number; s: number }[] = [];
  const updates = new TelegramUpdates({
    url: 'http://127.0.0.1:1/',
    secret: SECRET,
    clock: { wallMs: () => now, monotonicMs: () => now },
    timers: {
      set: (run, delayMs) => {
        const handle = {};
        alarms.set(handle, { at: now + delayMs, run });
        return handle;
      },
      clear: (handle) => void alarms.delete(handle as object),
    },
    random: () => random,
    post: async (_url, _headers, body) => {
      const update = JSON.parse(body) as { update_id: number };
      calls.push({ update: update.update_id, s: now / 1_000 });
      const given = answer(update, calls.length);
      return typeof given === 'number' ? { status: given, retryAfterS: 0 } : given;
    },
  });
  /** Runs everything that becomes due up to then. */
  const until = async (s: number) => {
    for (;;) {
      // Answers come as promises: all of them have settled once the next macrotask runs.
      await new Promise((resolve) => setImmediate(resolve));
      const [next] = [...alarms].sort(([, a], [, b]) => a.at - b.at);
      if (next === undefined || next[1].at > s * 1_000) break;
      alarms.delete(next[0]);
      now = Math.max(now, next[1].at);
      next[1].run();
    }
    now = s * 1_000;
  };
  return {
    updates,
    calls,
    until,
    secondsOf: (update: number) => calls.filter((one) => one.update === update).map(({ s }) => s),
  };
}

describe('an update that is not taken', () => {
  it('is repeated at once, then after 2, 4, 8 … s, at most 60 to 120 s apart', async () => {
    const slow = virtual(() => 500);
    void slow.updates.deliver('a', { update_id: 1 });
    await slow.until(300);
    expect(slow.secondsOf(1)).toEqual([0, 0, 2, 6, 14, 30, 62, 122, 182, 242]);
    const slower = virtual(() => 500, 0.999);
    void slower.updates.deliver('a', { update_id: 1 });
    await slower.until(400);
    expect(slower.secondsOf(1)).toEqual([0, 0, 2, 6, 14, 30, 62, 126, 246, 366]);
  });

  it('is repeated when Retry-After says, within an hour', async () => {
    const asked = [7, 99_999, 0];
    const { updates, until, secondsOf } = virtual((_body, n) => ({ status: 503, retryAfterS: asked[n - 1] ?? 0 }));
    void updates.deliver('a', { update_id: 1 });
    await until(3_650);
    expect(secondsOf(1).slice(0, 4)).toEqual([0, 7, 3_607, 3_609]);
  });

  it('holds up its own chat in order, and no other', async () => {
    const { updates, calls, until } = virtual(({ update_id: id }, n) => (id === 1 && n < 6 ? 500 : 200));
    const ends = [
      updates.deliver('a', { update_id: 1 }),
      updates.deliver('a', { update_id: 2 }),
      updates.deliver('b', { update_id: 3 }),
    ];
    await until(1);
    expect(calls).toContainEqual({ update: 3, s: 0 });
    expect(calls.map(({ update }) => update)).not.toContain(2);
    await until(100);
    expect(await Promise.all(ends)).toEqual(['delivered', 'delivered', 'delivered']);
    expect(calls.at(-1)?.update).toBe(2);
  });

  it('is dropped after a day, and the next one goes', async () => {
    const { updates, until, secondsOf } = virtual(({ update_id: id }) => (id === 1 ? 500 : 200));
    const first = updates.deliver('a', { update_id: 1 });
    await until(DAY_S - 1_000);
    const second = updates.deliver('a', { update_id: 2 });
    await until(DAY_S + 1);
    expect(await first).toBe('dropped');
    expect(await second).toBe('delivered');
    expect(secondsOf(1).at(-1)).toBeLessThanOrEqual(DAY_S);
  });

  it('by 410 for 23 hours removes the webhook', async () => {
    const { updates, calls, until } = virtual(() => 410);
    const ends: UpdateEnd[] = [];
    for (const chat of ['a', 'b']) void updates.deliver(chat, { update_id: 1 }).then((end) => ends.push(end));
    await until(23 * 3_600 - 1);
    expect(ends).toEqual([]);
    await until(23 * 3_600 + 121);
    expect(ends).toEqual(['webhook_removed', 'webhook_removed']);
    const { length } = calls;
    expect(await updates.deliver('c', { update_id: 9 })).toBe('webhook_removed');
    expect(calls).toHaveLength(length);
  });

  it('by 410 with a success between does not', async () => {
    const { updates, until } = virtual(({ update_id: id }) => (id === 1 ? 410 : 200));
    const first = updates.deliver('a', { update_id: 1 });
    await until(20 * 3_600);
    await updates.deliver('b', { update_id: 2 });
    await until(DAY_S + 200);
    expect(await first).toBe('dropped');
  });
});

describe('connections', () => {
  it('are as many as allowed', async () => {
    let open = 0;
    let most = 0;
    const gates: (() => void)[] = [];
    const updates = new TelegramUpdates({
      url: 'http://127.0.0.1:1/',
      secret: SECRET,
      clock: systemClock,
      timers: systemTimers,
      random: () => 0,
      maxConnections: 3,
      post: async () => {
        most = Math.max(most, ++open);
        await new Promise<void>((resolve) => gates.push(resolve));
        open--;
        return { status: 200, retryAfterS: 0 };
      },
    });
    const ends = Array.from({ length: 10 }, (_, n) => updates.deliver(`chat ${n}`, { update_id: n }));
    for (const end of ends) {
      gates.shift()?.();
      await end;
    }
    expect(most).toBe(3);
  });
});

describe('over HTTP', () => {
  it('reach the adapter with their token, and are repeated until they are taken', async () => {
    const channel = open('http://127.0.0.1:1');
    const seen: unknown[] = [];
    let down = 1;
    const server = createServer(async (incoming, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of incoming) chunks.push(chunk as Buffer);
      const call = { method: 'POST', target: '/', headers: incoming.headers, raw: Buffer.concat(chunks) } as const;
      seen.push(channel.verify(call, 0).kind, ...channel.readStatuses(call));
      response.writeHead(down-- > 0 ? 503 : 200).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const updates = new TelegramUpdates({
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/webhooks/default/bot`,
      secret: SECRET,
      clock: systemClock,
      timers: systemTimers,
      random: () => 0,
    });
    onTestFinished(async () => {
      updates.stop();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    expect(await updates.deliver('42', { update_id: 1, message: { text: 'Hello' } })).toBe('delivered');
    const item = { kind: 'other', code: 'message' };
    expect(seen).toEqual(['verified', item, 'verified', item]);
  });
});
