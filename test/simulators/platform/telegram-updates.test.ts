import { describe, expect, it, onTestFinished } from 'vitest';
import { createFakePlatform } from '../../../simulators/platform/platform.ts';
import { instant } from '../../../simulators/platform/settings.ts';
import { telegram } from '../../../simulators/platform/telegram.ts';
import { open, SECRET } from '../../platforms/telegram/support.ts';
import { startReceiver } from './support.ts';

const HOUR_S = 3_600;
const DAY_S = 24 * HOUR_S;
const TOKEN = '123456789:AAE-made_up_token';

interface Update {
  chat: string;
  id: number;
}

type Given = number | { status: number; retryAfterS: number };

/** The platform in virtual time, and a webhook whose answers `answer` says; only the calls themselves are real. */
async function start(answer: (update: Update, number: number) => Given, seed = 7) {
  let now = 0;
  const alarms = new Map<object, { at: number; run: () => void }>();
  const calls: (Update & { s: number; verdict: string })[] = [];
  const adapter = open('http://127.0.0.1:1');
  const receiver = await startReceiver(({ headers, raw }) => {
    const body = JSON.parse(raw) as { update_id: number; message: { chat: { id: number } } };
    const update = { chat: String(body.message.chat.id), id: body.update_id };
    const verdict = adapter.verify({ method: 'POST', target: '/', headers, raw: Buffer.from(raw) }, 0).kind;
    calls.push({ ...update, s: Math.round(now) / 1_000, verdict });
    return answer(update, calls.length);
  });
  const platform = createFakePlatform({
    seed,
    profile: telegram,
    clock: { wallMs: () => 1_700_000_000_000 + now, monotonicMs: () => now },
    timers: {
      set: (run, delayMs) => {
        const handle = {};
        alarms.set(handle, { at: now + delayMs, run });
        return handle;
      },
      clear: (handle) => void alarms.delete(handle as object),
    },
    settings: [
      instant,
      {
        // Where a status is asked for, the user writes back: an update.
        message: { status: { delivered: { probability: 1 } } },
        channel: { limit: null, pairLimit: null },
        channels: { default: { token: TOKEN, webhook: { urls: [receiver.url], secret: SECRET } } },
      },
    ],
  });
  await platform.start();
  onTestFinished(async () => {
    await platform.stop();
    await adapter.close();
  });

  const answered = () =>
    new Promise<void>((resolve) => {
      const stop = platform.groundTruth.onRecord((record) => {
        if (record.t !== 'called') return;
        stop();
        // What follows from the answer follows at once.
        setImmediate(resolve);
      });
    });
  const next = () => [...alarms].sort(([, a], [, b]) => a.at - b.at)[0];

  return {
    platform,
    calls,
    secondsOf: (id: number) => calls.filter((one) => one.id === id).map(({ s }) => s),
    /** A user writes in this chat; updates are numbered from 1. */
    write: async (chat: string) => {
      const answer = await fetch(`${platform.url}/bot${TOKEN}/sendMessage`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ chat_id: chat, text: 'x' }),
      });
      expect(answer.status).toBe(200);
    },
    /** Runs everything that becomes due up to then. */
    until: async (s: number) => {
      for (;;) {
        const open = platform.control.stats().webhooksActive > 0 ? answered() : undefined;
        if (open !== undefined) {
          await open;
          continue;
        }
        const [handle, alarm] = next() ?? [];
        if (handle === undefined || alarm === undefined || alarm.at > s * 1_000) break;
        alarms.delete(handle);
        now = Math.max(now, alarm.at);
        alarm.run();
      }
      now = s * 1_000;
    },
  };
}

describe('an update that is not taken', () => {
  it('carries its token each time, and is repeated at once, then after 2, 4, 8 … s, at most 60 to 120 s apart', async () => {
    const { write, until, secondsOf, calls } = await start(() => 500);
    await write('1');
    await until(600);
    const seconds = secondsOf(1);
    expect(seconds.slice(0, 7)).toEqual([0, 0, 2, 6, 14, 30, 62]);
    const pauses = seconds.slice(7).map((s, index) => s - (seconds[6 + index] ?? 0));
    expect(pauses.length).toBeGreaterThanOrEqual(4);
    for (const pause of pauses) expect(Math.abs(pause - 90)).toBeLessThanOrEqual(30);
    expect(new Set(pauses).size).toBeGreaterThan(1);
    expect(new Set(calls.map(({ verdict }) => verdict))).toEqual(new Set(['verified']));
  });

  it('is repeated when Retry-After says, within an hour', async () => {
    const asked = [7, 99_999, 0];
    const { write, until, secondsOf } = await start((_update, n) => ({ status: 503, retryAfterS: asked[n - 1] ?? 0 }));
    await write('1');
    await until(3_650);
    expect(secondsOf(1).slice(0, 4)).toEqual([0, 7, 3_607, 3_609]);
  });

  it('holds up its own chat in order, and no other', async () => {
    const { write, until, calls, platform } = await start(({ id }, n) => (id === 1 && n < 6 ? 500 : 200));
    for (const chat of ['1', '1', '1', '2']) await write(chat);
    await until(1);
    expect(calls).toContainEqual({ chat: '2', id: 4, s: 0, verdict: 'verified' });
    expect(calls.filter(({ chat }) => chat === '1').map(({ id }) => id)).toEqual([1, 1]);
    expect(platform.control.stats().webhooksWaiting).toBe(2);
    await until(100);
    expect(calls.slice(-2).map(({ id }) => id)).toEqual([2, 3]);
    expect(platform.control.stats()).toMatchObject({ webhooksWaiting: 0, webhooks: { answered2xx: 4, givenUp: 0 } });
  });

  it('is dropped after a day, and the next one goes', async () => {
    const { write, until, secondsOf, platform } = await start(({ id }) => (id === 1 ? 500 : 200));
    await write('1');
    await until(DAY_S - 1_000);
    await write('1');
    await until(DAY_S + 1);
    expect(platform.control.stats().webhooks).toMatchObject({ givenUp: 1, answered2xx: 1 });
    expect(secondsOf(1).at(-1)).toBeLessThanOrEqual(DAY_S);
    expect(secondsOf(2)).toHaveLength(1);
  });

  it('by 410 for 23 hours removes the webhook', async () => {
    const { write, until, calls, platform } = await start(() => 410);
    for (const chat of ['1', '2']) await write(chat);
    await until(23 * HOUR_S - 1);
    expect(platform.control.stats().webhooks.unsubscribed).toBe(0);
    await until(23 * HOUR_S + 241);
    expect(platform.control.stats().webhooks.unsubscribed).toBe(2);
    const { length } = calls;
    await write('3');
    await until(DAY_S);
    expect(calls).toHaveLength(length);
    expect(platform.control.stats()).toMatchObject({ webhooksWaiting: 0, webhooks: { unsubscribed: 3 } });
  });

  it('by 410 with a success between does not', async () => {
    const { write, until, platform } = await start(({ id }) => (id === 1 ? 410 : 200));
    await write('1');
    await until(20 * HOUR_S);
    await write('2');
    await until(DAY_S + 200);
    expect(platform.control.stats().webhooks).toMatchObject({ givenUp: 1, answered2xx: 1, unsubscribed: 0 });
  });
});
