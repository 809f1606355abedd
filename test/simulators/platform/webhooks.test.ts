import { describe, expect, test } from 'vitest';
import { generic } from '../../../simulators/platform/generic.ts';
import type { ChannelPatch, MessagePatch } from '../../../simulators/platform/settings.ts';
import { type Call, recordsOf, SECRET, type Send, sendTo, startPlatform, startReceiver } from './support.ts';

interface Setup {
  status?: MessagePatch['status'];
  message?: MessagePatch;
  webhooks?: ChannelPatch['webhooks'];
  answer?: (call: Call, number: number) => number | Promise<number>;
  previousSecret?: string;
  replicas?: number;
}

const setup = async ({ status, message, webhooks, answer, previousSecret, replicas = 1 }: Setup = {}) => {
  const receiver = await startReceiver(answer);
  const urls = Array.from({ length: replicas }, (_, index) => `${receiver.url}?replica=${index}`);
  const platform = await startPlatform({
    message: { ...message, status: { sent: { probability: 0 }, ...status } },
    channel: { webhooks: webhooks ?? {} },
    channels: {
      default: { webhook: { urls, secret: SECRET, ...(previousSecret === undefined ? {} : { previousSecret }) } },
    },
  });
  const send = sendTo(platform);
  const sendMany = (count: number, each: (index: number) => Send = () => ({})) =>
    Promise.all(Array.from({ length: count }, (_, index) => send(each(index))));
  return { receiver, platform, send, sendMany };
};

const names = (statuses: Record<string, unknown>[]) => statuses.map(({ status }) => status);

describe('a status webhook', () => {
  test('is signed, names its message both ways, and is recorded with our answer', async () => {
    const { receiver, platform, send } = await setup();
    const before = Date.now();
    const { body } = await send({ reference: 'ref-1' });
    await platform.control.whenIdle();
    expect(receiver.calls).toHaveLength(1);
    const [call] = receiver.calls;
    expect(call?.signed).toBe(true);
    expect(call?.headers['content-type']).toBe('application/json');
    expect(Math.abs(Number(call?.headers['webhook-timestamp']) * 1_000 - before)).toBeLessThan(2_000);
    expect(call?.statuses).toEqual([{ id: body.id, reference: 'ref-1', status: 'delivered', at: expect.any(Number) }]);
    expect(Object.values(call?.statuses[0] ?? {}).at(-1)).toBeGreaterThanOrEqual(before);
    expect(recordsOf(platform, 'call')).toMatchObject([{ call: 1, attempt: 1, signature: 'right', m: [1], s: 'd' }]);
    expect(recordsOf(platform, 'called')).toMatchObject([{ call: 1, attempt: 1, status: 200 }]);
  });

  test.each([
    ['reference', ['reference', 'status', 'at']],
    ['id', ['id', 'status', 'at']],
  ] as const)('can name its message by %s alone', async (named, fields) => {
    const { receiver, platform, send } = await setup({ status: { named } });
    await send();
    await platform.control.whenIdle();
    expect(Object.keys(receiver.statuses()[0] ?? {})).toEqual(fields);
  });

  test('each status has a delay of its own (H1)', async () => {
    const { receiver, platform, send } = await setup({
      status: {
        sent: { probability: 1, delayMs: 10 },
        delivered: { delayMs: 50 },
        read: { probability: 1, delayMs: 300 },
      },
    });
    await send();
    const answeredAt = performance.now();
    await platform.control.whenIdle();
    expect(names(receiver.statuses())).toEqual(['sent', 'delivered', 'read']);
    expect((receiver.calls[2]?.at ?? 0) - answeredAt).toBeGreaterThan(150);
  });

  test('never precedes the answer to the send, unless it is early (H2)', async () => {
    const order = async (probability: number) => {
      const { receiver, platform, send } = await setup({
        status: { sent: { probability: 1 }, early: { probability, statuses: ['sent', 'delivered'], holdMs: 2_000 } },
        message: { send: { responseDelayMs: 40 } },
      });
      await send();
      const answeredAt = performance.now();
      await platform.control.whenIdle();
      return receiver.calls.map(({ at }) => at < answeredAt);
    };
    expect(await order(0)).toEqual([false, false]);
    expect(await order(1)).toEqual([true, true]);
  });

  test('an early one holds the answer only for so long', async () => {
    let release: (status: number) => void = () => undefined;
    const { platform, send } = await setup({
      status: { early: { probability: 1, statuses: ['delivered'], holdMs: 50 } },
      answer: () =>
        new Promise((resolve) => {
          release = resolve;
        }),
    });
    const { status, tookMs } = await send();
    release(200);
    await platform.control.whenIdle();
    expect(status).toBe(200);
    expect(tookMs).toBeGreaterThanOrEqual(48);
  });

  test('can come late (H3)', async () => {
    const { receiver, platform, send } = await setup({ status: { late: { probability: 1, delayMs: 300 } } });
    await send();
    const answeredAt = performance.now();
    await platform.control.whenIdle();
    expect((receiver.calls[0]?.at ?? 0) - answeredAt).toBeGreaterThan(150);
    expect(platform.control.stats().faults.status_late).toBe(1);
  });

  test('can be lost, one kind or all of a message (H4)', async () => {
    const lossy = await setup({ status: { sent: { probability: 1 }, delivered: { lossProbability: 0.5 } } });
    await lossy.sendMany(60, (index) => ({ reference: `lossy${index}` }));
    await lossy.platform.control.whenIdle();
    const got = names(lossy.receiver.statuses());
    const lost = recordsOf(lossy.platform, 'status').filter((record) => record.lost);
    expect(got.filter((status) => status === 'sent')).toHaveLength(60);
    expect(lost.length).toBeGreaterThan(15);
    expect(lost.length).toBeLessThan(45);
    expect(got.filter((status) => status === 'delivered')).toHaveLength(60 - lost.length);
    expect(lossy.platform.control.stats().faults.status_lost_delivered).toBe(lost.length);

    const silent = await setup({ status: { sent: { probability: 1 }, loseAllProbability: 1 } });
    await silent.send();
    await silent.platform.control.whenIdle();
    expect(silent.receiver.calls).toHaveLength(0);
    expect(recordsOf(silent.platform, 'shown')).toHaveLength(1);
  });

  test('can come several times, also at once on several connections (H5)', async () => {
    const later = await setup({ status: { duplicate: { probability: 1, copies: 2, gapMs: 10 } } });
    await later.send();
    await later.platform.control.whenIdle();
    expect(names(later.receiver.statuses())).toEqual(['delivered', 'delivered', 'delivered']);

    let release: () => void = () => undefined;
    const all = new Promise<void>((resolve) => {
      release = resolve;
    });
    const atOnce = await setup({
      status: { duplicate: { probability: 1, copies: 3, concurrent: true } },
      answer: async (_call, number) => {
        if (number === 4) release();
        await all;
        return 200;
      },
    });
    await atOnce.send();
    await atOnce.platform.control.whenIdle();
    expect(atOnce.receiver.seen.mostOpen).toBe(4);
    expect(new Set(atOnce.receiver.calls.map(({ headers }) => headers['webhook-id'])).size).toBe(4);
  });

  test('can be out of order, regress and contradict itself (H6, H8)', async () => {
    const told = async (status: MessagePatch['status']) => {
      const { receiver, platform, send } = await setup({
        status: { sent: { probability: 1 }, read: { probability: 1, delayMs: 10 }, ...status },
      });
      await send();
      await platform.control.whenIdle();
      return receiver.statuses();
    };
    expect(names(await told({ outOfOrder: { probability: 1, gapMs: 30 } }))).toEqual(['read', 'delivered', 'sent']);
    expect(names(await told({ regress: { probability: 1, gapMs: 10 } }))).toEqual([
      'sent',
      'delivered',
      'read',
      'sent',
    ]);
    const contradictory = await told({ contradiction: { probability: 1, gapMs: 10 } });
    expect(names(contradictory)).toEqual(['sent', 'delivered', 'read', 'failed']);
    expect(contradictory.at(-1)?.error).toMatchObject({ scope: 'message', permanent: true });
    const failed = await told({
      sent: { probability: 0 },
      failure: { probability: 1, delayMs: 0, code: 'blocked', permanent: false },
      contradiction: { probability: 1, gapMs: 10 },
    });
    expect(names(failed)).toEqual(['failed', 'delivered']);
    expect(failed[0]?.error).toEqual({ code: 'blocked', scope: 'message', permanent: false });
  });

  test('can carry a false, coarse, equal or no time (H6)', async () => {
    const at = async (status: MessagePatch['status']) => {
      const { receiver, platform, send } = await setup({ status });
      const { body } = await send();
      await platform.control.whenIdle();
      return { at: receiver.statuses()[0]?.at as number | undefined, acceptedAt: body.acceptedAt as number };
    };
    expect((await at({ timestamps: 'none' })).at).toBeUndefined();
    expect((await at({ timestamps: 'seconds' })).at).toBeLessThan(1e11);
    const equal = await at({ timestamps: 'equal' });
    expect(equal.at).toBe(equal.acceptedAt);
    const skewed = await at({ clockSkewMs: -3_600_000 });
    expect(skewed.at).toBeLessThan(skewed.acceptedAt - 3_500_000);
  });
});

describe('acks that cover several messages (H7)', () => {
  const rules = [{ match: { nth: 1 }, message: { status: { delivered: { lossProbability: 1 } } } }];

  test('cumulative by reference', async () => {
    const { receiver, platform, send } = await setup({ status: { form: 'cumulative' } });
    platform.control.change({ rules });
    await send({ reference: 'a' });
    await send({ reference: 'b' });
    await platform.control.whenIdle();
    expect(receiver.statuses()).toMatchObject([{ reference: 'b', status: 'delivered', cumulative: true }]);
    expect(recordsOf(platform, 'call')).toMatchObject([{ m: [2], s: 'D' }]);
  });

  test('a watermark covers exactly what has arrived', async () => {
    const { receiver, platform, send } = await setup({ status: { form: 'watermark' } });
    platform.control.change({ rules: [{ match: { nth: 2 }, message: { phone: { delayMs: 300 } } }] });
    const accepted: number[] = [];
    for (const reference of ['a', 'b', 'c']) accepted.push((await send({ reference })).body.acceptedAt);
    await platform.control.whenIdle();
    // The third arrived before the second: it is told only together with it.
    expect(receiver.statuses()).toEqual([
      { watermark: accepted[0], to: '+15550100001', status: 'delivered', at: expect.any(Number) },
      { watermark: accepted[2], to: '+15550100001', status: 'delivered', at: expect.any(Number) },
    ]);
    expect(new Set(accepted).size).toBe(3);
    expect(recordsOf(platform, 'call')).toMatchObject([
      { m: [1], s: 'D' },
      { m: [3], s: 'D' },
    ]);
  });

  test('batches have a size, and leave after the linger time when they do not reach it', async () => {
    const { receiver, platform, sendMany } = await setup({
      webhooks: { batch: { minSize: 5, maxSize: 5, lingerMs: 400 } },
    });
    await sendMany(12, (index) => ({ to: `+${index}` }));
    await platform.control.whenIdle();
    expect(receiver.calls.map(({ statuses }) => statuses.length)).toEqual([5, 5, 2]);
    expect(receiver.calls[2]!.at - receiver.calls[1]!.at).toBeGreaterThan(100);
  });
});

describe('items that no correct platform sends (H9)', () => {
  test('ride along with correct ones', async () => {
    const junk = { unknownId: 1, unknownReference: 1, unknownStatus: 1, extraFields: 1, malformed: 1 };
    const { receiver, platform, send } = await setup({ webhooks: { junk } });
    await send({ reference: 'good' });
    await platform.control.whenIdle();
    const statuses = receiver.statuses();
    expect(statuses).toHaveLength(5);
    expect(statuses.filter(({ reference }) => reference === 'good')).toMatchObject([{ pricing: { billable: true } }]);
    expect(statuses.filter(({ id }) => String(id).startsWith('foreign'))).toHaveLength(2);
    expect(recordsOf(platform, 'call')).toMatchObject([{ m: [1], junk: 4 }]);
    expect(receiver.calls[0]?.signed).toBe(true);
  });

  test('can be injected as they are', async () => {
    const { receiver, platform } = await setup();
    platform.control.injectStatuses('default', [{ watermark: 9e15, to: '+1', status: 'read' }]);
    await receiver.until((calls) => calls.length === 1);
    expect(receiver.calls[0]).toMatchObject({ signed: true, statuses: [{ watermark: 9e15 }] });
  });
});

describe('a secret', () => {
  test('that begins with whsec_ is base64, any other one is taken as it is', () => {
    const signed = (present: string) =>
      generic.sign({
        id: 'msg_1',
        url: 'http://127.0.0.1/',
        nowMs: 1_700_000_000_000,
        body: '{}',
        secrets: { present, previous: undefined },
        both: false,
        mode: 'right',
      });
    expect(signed(`whsec_${Buffer.from('plain key').toString('base64')}`)).toEqual(signed('plain key'));
    expect(signed('plain key')).not.toEqual(signed('other key'));
  });
});

describe('delivery of webhooks', () => {
  test('is repeated with growing gaps and the same id until a 2xx, or given up (H10)', async () => {
    const retry = { firstMs: 20_000, factor: 2, maxMs: 60_000, maxAgeMs: 3_600_000 };
    const { receiver, platform, send } = await setup({
      webhooks: { retry, timeScale: 0.001 },
      answer: (_call, number) => (number < 4 ? 500 : 204),
    });
    await send();
    await platform.control.whenIdle();
    const { calls } = receiver;
    expect(calls).toHaveLength(4);
    expect(new Set(calls.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    const gaps = calls.slice(1).map(({ at }, index) => at - calls[index]!.at);
    expect(gaps[0]).toBeGreaterThanOrEqual(18);
    expect(gaps[1]).toBeGreaterThanOrEqual(38);
    expect(gaps[2]).toBeGreaterThanOrEqual(58);
    expect(recordsOf(platform, 'called').map(({ status }) => status)).toEqual([500, 500, 500, 204]);

    const short = await setup({ webhooks: { retry: { ...retry, maxAgeMs: 0 }, timeScale: 0.001 }, answer: () => 500 });
    await short.send();
    await short.platform.control.whenIdle();
    expect(short.platform.control.stats().webhooks).toMatchObject({ calls: 1, givenUp: 1 });
  });

  test.each([
    ['server_errors', 401, 1],
    ['server_errors', 503, 2],
    ['never', 503, 1],
  ] as const)('retries on %s: %i', async (on, status, calls) => {
    const { receiver, platform, send } = await setup({
      webhooks: { retry: { firstMs: 5, on } },
      answer: (_call, number) => (number === 1 ? status : 200),
    });
    await send();
    await platform.control.whenIdle();
    expect(receiver.calls).toHaveLength(calls);
  });

  test('an answer after the deadline counts as none (H11)', async () => {
    let release: (status: number) => void = () => undefined;
    const { receiver, platform, send } = await setup({
      webhooks: { deadlineMs: 40, retry: { firstMs: 5 } },
      answer: (_call, number) =>
        number > 1
          ? 200
          : new Promise((resolve) => {
              release = resolve;
            }),
    });
    await send();
    await platform.control.whenIdle();
    release(200);
    expect(receiver.calls).toHaveLength(2);
    expect(recordsOf(platform, 'called')).toMatchObject([{ status: 0, error: 'DEADLINE' }, { status: 200 }]);
    expect(platform.control.stats().webhooks.deadlines).toBe(1);
  });

  test('a receiver that is gone is tried again', async () => {
    const { platform, send } = await setup({
      webhooks: { retry: { firstMs: 10, maxAgeMs: 35, factor: 1 } },
    });
    platform.control.change({
      channels: { default: { webhook: { urls: ['http://127.0.0.1:1/'] } } },
    });
    await send();
    await platform.control.whenIdle();
    const ends = recordsOf(platform, 'called');
    expect(ends.length).toBeGreaterThan(1);
    expect(new Set(ends.map(({ status, error }) => `${status} ${error}`))).toEqual(new Set(['0 ECONNREFUSED']));
  });

  test('signatures can be wrong in every way, before the right one (H12)', async () => {
    const { receiver, platform, send } = await setup({
      webhooks: { signature: { wrongKey: 1, tampered: 1, missing: 1, expired: 1 } },
      answer: ({ signed }) => (signed ? 200 : 401),
    });
    await send();
    await platform.control.whenIdle();
    const { calls } = receiver;
    expect(calls.map(({ signed }) => signed)).toEqual([false, false, false, true, true]);
    expect(calls[2]?.headers['webhook-signature']).toBeUndefined();
    // The expired one is signed rightly, ten minutes ago.
    const seconds = calls.map(({ headers }) => Number(headers['webhook-timestamp']));
    expect(seconds[4]! - seconds[3]!).toBeGreaterThanOrEqual(599);
    expect(recordsOf(platform, 'call').map(({ signature, attempt }) => [signature, attempt])).toEqual([
      ['wrong_key', 0],
      ['tampered', 0],
      ['missing', 0],
      ['expired', 0],
      ['right', 1],
    ]);
  });

  test('during rotation: the old secret, or both', async () => {
    const old = await setup({ webhooks: { signature: { previous: 1 } }, previousSecret: SECRET });
    old.platform.control.change({ channels: { default: { webhook: { secret: 'the new one' } } } });
    await old.send();
    await old.platform.control.whenIdle();
    expect(old.receiver.calls.map(({ signed }) => signed)).toEqual([true]);
    expect(recordsOf(old.platform, 'call')[0]?.signature).toBe('previous');

    const both = await setup({ webhooks: { signature: { both: true } }, previousSecret: 'the old one' });
    await both.send();
    await both.platform.control.whenIdle();
    expect(String(both.receiver.calls[0]?.headers['webhook-signature']).split(' ')).toHaveLength(2);
    expect(both.receiver.calls[0]?.signed).toBe(true);
  });

  test('uses no more than its connections at once, and all replicas (H14)', async () => {
    let release: () => void = () => undefined;
    const four = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { receiver, platform, sendMany } = await setup({
      webhooks: { connections: 2 },
      replicas: 2,
      answer: async (_call, number) => {
        if (number === 4) release();
        await four;
        return 200;
      },
    });
    await sendMany(20, (index) => ({ to: `+${index}` }));
    await platform.control.whenIdle();
    expect(receiver.calls).toHaveLength(20);
    expect(receiver.seen.mostOpen).toBe(4);
    const perReplica = [0, 1].map((n) => receiver.calls.filter(({ path }) => path.endsWith(`replica=${n}`)).length);
    expect(Math.min(...perReplica)).toBeGreaterThanOrEqual(2);
  });

  test('end where the receiver fails for too long, until the next subscription (H10)', async () => {
    let down = true;
    const { receiver, platform, send, sendMany } = await setup({
      webhooks: { retry: { firstMs: 20, factor: 1 }, unsubscribe: { on: 'failure', afterMs: 200 } },
      answer: () => (down ? 500 : 200),
    });
    await sendMany(3);
    await platform.control.whenIdle();
    expect(platform.control.stats()).toMatchObject({
      webhooksWaiting: 0,
      webhooks: { answered2xx: 0, givenUp: 0, unsubscribed: 3 },
    });
    // The platform counts from its first failure's answer to its last one's, which arrive at other distances.
    expect(receiver.calls.at(-1)?.at).toBeGreaterThan((receiver.calls[0]?.at ?? 0) + 150);
    expect(recordsOf(platform, 'event')).toMatchObject([{ event: 'webhooks_unsubscribed' }]);
    down = false;
    const { length } = receiver.calls;
    await send();
    await platform.control.whenIdle();
    expect(receiver.calls).toHaveLength(length);
    platform.control.subscribeWebhooks('default');
    await send();
    await platform.control.whenIdle();
    expect(receiver.calls).toHaveLength(length + 1);
    expect(platform.control.stats().webhooks).toMatchObject({ answered2xx: 1, unsubscribed: 4 });
  });

  test('do not end where a success comes between', async () => {
    const { platform, send } = await setup({
      webhooks: { retry: { firstMs: 60, factor: 1 }, unsubscribe: { on: 'failure', afterMs: 150 } },
      answer: (_call, number) => (number % 2 === 1 ? 500 : 200),
    });
    for (let n = 0; n < 4; n++) {
      await send();
      await platform.control.whenIdle();
    }
    expect(platform.control.stats().webhooks).toMatchObject({ answered2xx: 4, failed: 4, unsubscribed: 0 });
  });

  test('end on demand, with what waits', async () => {
    const { receiver, platform, send } = await setup();
    platform.control.holdWebhooks();
    await send();
    const answer = await fetch(`${platform.url}/control/webhooks/unsubscribe`, {
      method: 'POST',
      body: '{"channel":"default"}',
    });
    expect(await answer.json()).toMatchObject({ webhooksWaiting: 0, webhooks: { unsubscribed: 1 } });
    platform.control.flushWebhooks();
    await send();
    await platform.control.whenIdle();
    expect(receiver.calls).toHaveLength(0);
    await fetch(`${platform.url}/control/webhooks/subscribe`, { method: 'POST', body: '{}' });
    await send();
    await platform.control.whenIdle();
    expect(receiver.calls).toHaveLength(1);
    expect(() => platform.control.unsubscribeWebhooks('nobody')).toThrow(/unknown channel "nobody"/);
  });

  test('can be held, and flushed all at once (H15)', async () => {
    const { receiver, platform, sendMany } = await setup({
      webhooks: { batch: { minSize: 10, maxSize: 10, lingerMs: 0 } },
    });
    platform.control.holdWebhooks('default');
    await sendMany(30, (index) => ({ to: `+${index}` }));
    await platform.control.whenIdle();
    expect(receiver.calls).toHaveLength(0);
    expect(platform.control.stats().webhooksWaiting).toBe(30);
    platform.control.flushWebhooks();
    await platform.control.whenIdle();
    expect(receiver.calls.map(({ statuses }) => statuses.length)).toEqual([10, 10, 10]);
    expect(() => platform.control.holdWebhooks('nobody')).toThrow(/unknown channel "nobody"/);
  });
});
