import { createHmac } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createFakePlatform } from '../../../simulators/platform/platform.ts';
import type { Profile, UnsignedCall } from '../../../simulators/platform/profile.ts';
import { PROFILES } from '../../../simulators/platform/profiles.ts';
import { SenderQueues } from '../../../simulators/platform/sender-queue.ts';
import { instant, type SettingsPatch } from '../../../simulators/platform/settings.ts';
import { withMark } from '../../../simulators/platform/text-mark.ts';
import { digestQuery, longCode, messagingService, twilio } from '../../../simulators/platform/twilio.ts';

const ACCOUNT = `AC${'0'.repeat(32)}`;
const SERVICE = `MG${'1'.repeat(32)}`;
const TOKEN = 'the auth token';
const PATH = `/2010-04-01/Accounts/${ACCOUNT}/Messages.json`;
const RIGHT = { To: '+15550100001', From: '+15550100002', Body: 'Hello' };

async function start(settings: SettingsPatch = {}, profile: Profile = twilio) {
  const channels = { default: { token: TOKEN } };
  const platform = createFakePlatform({ seed: 7, profile, settings: [instant, { channels }, settings] });
  await platform.start();
  onTestFinished(() => platform.stop());
  return platform;
}

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

async function post(
  url: string,
  form: Record<string, string> | [string, string][] | string,
  { path = PATH, ...headers }: Record<string, string> = {},
) {
  const answer = await request(`${url}${path}`, {
    method: 'POST',
    headers: {
      authorization: basic(`${ACCOUNT}:${TOKEN}`),
      'content-type': 'application/x-www-form-urlencoded',
      ...headers,
    },
    body: typeof form === 'string' ? form : new URLSearchParams(form).toString(),
  });
  const text = await answer.body.text();
  return { status: answer.statusCode, headers: answer.headers, body: text === '' ? '' : JSON.parse(text) };
}

async function startReceiver(answer: (number: number) => number | null = () => 200) {
  const calls: { target: string; form: URLSearchParams; headers: IncomingMessage['headers']; at: number }[] = [];
  const server = createServer(async (incoming, response) => {
    let raw = '';
    for await (const chunk of incoming) raw += chunk;
    calls.push({
      target: incoming.url ?? '',
      form: new URLSearchParams(raw),
      headers: incoming.headers,
      at: performance.now(),
    });
    const status = answer(calls.length);
    if (status === null) incoming.socket.destroy();
    else if (status > 0) response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/twilio`;
  const settings = { channels: { default: { webhook: { urls: [`${url}/default`], secret: TOKEN } } } };
  return { url, calls, settings, statuses: () => calls.map(({ form }) => form.get('MessageStatus')) };
}

describe('a message', () => {
  it('is accepted as Twilio does, and known by its mark', async () => {
    const platform = await start();
    const text = withMark('Hello', { run: 'r1', key: 'room/7' });
    const { status, body } = await post(platform.url, { ...RIGHT, Body: text });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      sid: expect.stringMatching(/^SM[0-9a-f]{32}$/),
      status: 'queued',
      account_sid: ACCOUNT,
      to: RIGHT.To,
      from: RIGHT.From,
      messaging_service_sid: null,
      error_code: null,
    });
    const [receipt] = [...platform.groundTruth.records()].filter(({ t }) => t === 'receipt');
    expect(receipt).toMatchObject({ reference: '+15550100001/room/7', run: 'r1', key: 'room/7', id: body.sid });
    expect(PROFILES.twilio).toBe(twilio);
  });

  it('to a messaging service is accepted without a sender', async () => {
    const { url } = await start();
    const { body } = await post(url, { To: RIGHT.To, MessagingServiceSid: SERVICE, Body: 'x' });
    expect(body).toMatchObject({ status: 'accepted', from: null, messaging_service_sid: SERVICE });
  });

  it.each<[string, Record<string, string> | [string, string][], number]>([
    ['nobody', { From: RIGHT.From, Body: 'x' }, 21604],
    ['a name', { ...RIGHT, To: 'alice' }, 21211],
    ['a number without +', { ...RIGHT, To: '15550100001' }, 21211],
    ['another channel', { ...RIGHT, To: 'whatsapp:+15550100001' }, 21910],
    ['somebody from nobody', { To: RIGHT.To, Body: 'x' }, 21603],
    ['a service that is none', { To: RIGHT.To, MessagingServiceSid: 'MG1', Body: 'x' }, 21701],
    ['somebody, empty', { ...RIGHT, Body: '' }, 21619],
    ['somebody, too long', { ...RIGHT, Body: 'x'.repeat(1_601) }, 21617],
    ['somebody, with a bad address', { ...RIGHT, MediaUrl: 'm/1.jpg' }, 21620],
    [
      'somebody, with eleven pictures',
      [...Object.entries(RIGHT), ...Array.from({ length: 11 }, (): [string, string] => ['MediaUrl', 'https://m/1'])],
      21623,
    ],
    ['somebody, by a bad template', { ...RIGHT, ContentSid: 'HX1' }, 21655],
    ['somebody, with bad variables', { ...RIGHT, ContentVariables: '{' }, 21656],
    ['somebody, for too long', { ...RIGHT, ValidityPeriod: '36001' }, 21624],
    ['somebody, with a bad callback', { ...RIGHT, StatusCallback: 'hooks/1' }, 21609],
  ])('to %s is refused', async (_name, form, code) => {
    const platform = await start();
    const { status, body } = await post(platform.url, form);
    expect([status, body]).toEqual([
      400,
      { code, message: expect.any(String), more_info: expect.stringContaining(String(code)), status: 400 },
    ]);
    expect(platform.control.stats().accepted).toBe(0);
  });

  it('needs a form, the right path and the right credentials', async () => {
    const { url } = await start();
    expect((await post(url, RIGHT, { 'content-type': 'application/json' })).status).toBe(415);
    expect((await request(`${url}${PATH}`)).statusCode).toBe(404);
    expect((await request(`${url}/2010-04-01/Accounts/AC1/Messages.json`, { method: 'POST' })).statusCode).toBe(404);
    const key = `SK${'a'.repeat(32)}`;
    for (const authorization of ['', 'Basic x', `Bearer ${TOKEN}`, basic(`${ACCOUNT}:wrong`), basic(`AC9:${TOKEN}`)]) {
      const { status, body } = await post(url, RIGHT, { authorization });
      expect([status, body]).toEqual([401, expect.objectContaining({ code: 20003, status: 401 })]);
    }
    const keyed = await start({ channels: { default: { token: `${key}:secret` } } });
    expect((await post(keyed.url, RIGHT, { authorization: basic(`${key}:secret`) })).status).toBe(201);
    expect((await post(keyed.url, RIGHT)).status).toBe(401);
  });

  it('too many at once is refused, and says when to come again where a knob wants that', async () => {
    const refusal = { status: 429, code: '20429', retryAfterMs: 1_500, retryAfterIn: 'header' } as const;
    const { url } = await start({ channel: { limit: { ratePerSecond: 0.01, burst: 1, refusal } } });
    await post(url, RIGHT);
    const { status, body, headers } = await post(url, RIGHT);
    expect([status, body.code, headers['retry-after']]).toEqual([429, 20429, '2']);
  });

  it('beyond 2,000 a second of all senders of an account is refused, unless the account has another limit', async () => {
    expect(twilio.settings.account?.limit).toMatchObject({ ratePerSecond: 2_000, burst: 2_000 });
    const other = `AC${'2'.repeat(32)}`;
    const platform = await start({
      account: { limit: { ratePerSecond: 0.001, burst: 2 } },
      accounts: { free: { limit: null } },
      channels: {
        default: null,
        a: { token: 'a', account: ACCOUNT },
        b: { token: 'b', account: ACCOUNT },
        c: { token: 'c', account: 'free' },
      },
    });
    const send = (token: string, account = ACCOUNT) =>
      post(platform.url, RIGHT, {
        path: PATH.replace(ACCOUNT, account),
        authorization: basic(`${account}:${token}`),
      });
    expect([(await send('a')).status, (await send('b')).status]).toEqual([201, 201]);
    for (const token of ['a', 'b']) expect(await send(token)).toMatchObject({ status: 429, body: { code: 63017 } });
    for (let n = 0; n < 3; n++) expect((await send('c', other)).status).toBe(201);
    expect(platform.control.stats().faults).toEqual({ limit_account: 2 });
  });

  it.each([
    [{ status: 400, code: '21211' }, true, true],
    [{ status: 400, code: '21611' }, true, false],
    [{ status: 429, code: '20429' }, true, false],
    [{ status: 401, bare: true }, true, false],
    [{ status: 400, bare: true }, true, false],
    [{ status: 503 }, false, true],
  ])('refused as %j leaves no doubt: %s; it settles it: %s', (refusal, definite, permanent) => {
    expect(twilio.judge(refusal)).toEqual({ definite, permanent });
  });
});

describe('a callback', () => {
  it('goes to the address of its message, without the fragment, and is signed for it', async () => {
    const receiver = await startReceiver();
    const { url, control } = await start(receiver.settings);
    const callback = `${receiver.url}/mine?reference=ref1`;
    const { body } = await post(url, { ...RIGHT, StatusCallback: `${callback}#rc=5&rp=all` });
    await control.whenIdle();
    expect(receiver.statuses().sort()).toEqual(['delivered', 'sent']);
    for (const { target, form, headers } of receiver.calls) {
      expect(target).toBe('/twilio/mine?reference=ref1');
      expect(Object.fromEntries(form)).toMatchObject({ MessageSid: body.sid, AccountSid: ACCOUNT, To: RIGHT.To });
      const data = [...form.keys()].sort().map((name) => name + form.get(name));
      const expected = createHmac('sha1', TOKEN)
        .update(callback + data.join(''))
        .digest('base64');
      expect(headers['x-twilio-signature']).toBe(expected);
      expect(headers['content-type']).toMatch(/^application\/x-www-form-urlencoded/);
    }
  });

  it('of a message that names no address goes to that of the sender', async () => {
    const receiver = await startReceiver();
    const { url, control } = await start(receiver.settings);
    await post(url, RIGHT);
    await control.whenIdle();
    expect(receiver.calls.map(({ target }) => target)).toEqual(['/twilio/default', '/twilio/default']);
  });

  it('waits while callbacks are held, and is sent with the flush', async () => {
    const receiver = await startReceiver();
    const { url, control } = await start(receiver.settings);
    control.holdWebhooks('default');
    await post(url, { ...RIGHT, StatusCallback: `${receiver.url}/mine` });
    await control.whenIdle();
    expect([receiver.calls.length, control.stats().webhooksWaiting]).toEqual([0, 2]);
    control.flushWebhooks('default');
    await control.whenIdle();
    expect([receiver.calls.length, control.stats().webhooksWaiting]).toEqual([2, 0]);
  });

  it.each<[string, string, number | null, number]>([
    ['a fault, left to itself', '', 500, 1],
    ['a broken connection, left to itself', '', null, 2],
    ['a fault, everything asked for', '#rc=5&rp=all', 500, 6],
    ['a refusal, everything asked for', '#rc=2&rp=all', 401, 3],
    ['a refusal, where faults were asked for', '#rc=2&rp=5xx', 401, 1],
    ['a fault, where faults were asked for', '#rc=2&rp=ct,5xx', 503, 3],
    ['a fault, where nothing was asked for', '#rc=0&rp=all', 503, 1],
    ['a silence, everything asked for', '#rc=1&rp=rt', 0, 2],
  ])('after %s (%s) is told again as documented', async (_name, fragment, status, times) => {
    const receiver = await startReceiver(() => status);
    const { url, control } = await start({
      ...receiver.settings,
      message: { status: { sent: { probability: 0 } } },
      channel: { webhooks: { deadlineMs: 200, timeScale: 0.1 } },
    });
    await post(url, { ...RIGHT, StatusCallback: `${receiver.url}/mine${fragment}` });
    await control.whenIdle();
    expect(receiver.calls).toHaveLength(times);
    expect(new Set(receiver.calls.map(({ headers }) => headers['i-twilio-idempotency-token'])).size).toBe(1);
    expect(control.stats().webhooks).toMatchObject({ retried: times - 1, givenUp: 1 });
  });

  it('tells of one thing, and what is mixed in comes beside it', async () => {
    const receiver = await startReceiver();
    const { url, control } = await start({
      ...receiver.settings,
      channel: { webhooks: { batch: { minSize: 9, maxSize: 9 }, junk: { unknownId: 1, extraFields: 1 }, inbound: 1 } },
    });
    await post(url, RIGHT);
    await control.whenIdle();
    expect(receiver.statuses().sort()).toEqual(['delivered', 'delivered', 'delivered', null, null, 'sent']);
    expect(receiver.calls.filter(({ form }) => form.has('RawDlrDoneDate'))).toHaveLength(2);
  });

  it.each([
    ['30005', 'undelivered'],
    ['30001', 'failed'],
  ])('of a failure with %s says %s', async (code, status) => {
    const receiver = await startReceiver();
    const failure = { probability: 1, delayMs: 0, code };
    const { url, control } = await start({
      ...receiver.settings,
      message: { status: { sent: { probability: 0 }, failure } },
    });
    await post(url, { To: RIGHT.To, MessagingServiceSid: SERVICE, Body: 'x' });
    await control.whenIdle();
    const told = Object.fromEntries(receiver.calls[0]?.form ?? []);
    expect(told).toMatchObject({ MessageStatus: status, ErrorCode: code, MessagingServiceSid: SERVICE });
  });

  const call: UnsignedCall = {
    id: '1',
    nowMs: 0,
    url: 'https://h.test/w?a=1',
    body: 'MessageSid=SM1&MessageStatus=sent',
    secrets: { present: 'present', previous: 'previous' },
    both: false,
    mode: 'right',
  };
  const headerOf = ({ headers }: { headers: string[] }) => headers[headers.indexOf('x-twilio-signature') + 1];
  const expected = (secret: string, url = call.url) =>
    createHmac('sha1', secret).update(`${url}MessageSidSM1MessageStatussent`).digest('base64');

  it.each([
    ['right', expected('present')],
    ['previous', expected('previous')],
    ['wrong_key', expected('not present')],
    ['expired', expected('present', 'http://10.0.0.7:8080/w?a=1')],
  ] as const)('with the signature %s is signed that way', (mode, signature) => {
    const signed = twilio.sign({ ...call, mode });
    expect([headerOf(signed), signed.body]).toEqual([signature, call.body]);
  });

  it('with no signature, or a body that it does not fit', () => {
    expect(twilio.sign({ ...call, mode: 'missing' }).headers).not.toContain('x-twilio-signature');
    const tampered = twilio.sign({ ...call, mode: 'tampered' });
    expect(headerOf(tampered)).toBe(expected('present'));
    expect(tampered.body).not.toBe(call.body);
  });

  it('in JSON is signed by its address alone, whose query holds its digest', () => {
    const body = twilio.webhookBody([{ json: { a: 1 } }]);
    expect(body).toBe('{"a":1}');
    const url = `https://h.test/w?${digestQuery(body)}`;
    const signed = twilio.sign({ ...call, url, body });
    expect(headerOf(signed)).toBe(createHmac('sha1', 'present').update(url).digest('base64'));
    expect(signed.headers).toContain('application/json');
    expect(twilio.sign({ ...call, url, body, mode: 'tampered' }).body).not.toBe(body);
  });
});

describe('the queue of a sender', () => {
  it('lets messages leave one after the other, at its speed', () => {
    const queues = new SenderQueues();
    const queue = { perSecond: 2, maxWaiting: 2 };
    const waits: (number | undefined)[] = [];
    for (const now of [0, 0, 0, 0, 400, 500, 500]) {
      const waitMs = queues.waitMs('a', queue, now);
      waits.push(waitMs);
      if (waitMs !== undefined) queues.enter('a', queue, now);
    }
    expect(waits).toEqual([0, 500, 1_000, undefined, undefined, 1_000, undefined]);
    expect(queues.waitMs('b', queue, 500)).toBe(0);
    expect(queues.waitMs('a', queue, 60_000)).toBe(0);
  });

  it('holds the first status and the way to the phone back, not the answer', async () => {
    const { url, control, groundTruth } = await start({ channel: { queue: { ...longCode, perSecond: 10 } } });
    for (let index = 0; index < 3; index++) expect((await post(url, RIGHT)).status).toBe(201);
    await control.whenIdle();
    const times = (t: string) => [...groundTruth.records()].filter((each) => each.t === t).map(({ at }) => at);
    const [first = 0, , third = 0] = times('shown');
    expect(third - first).toBeGreaterThan(150);
    expect(Math.max(...times('receipt'))).toBeLessThan(third);
  });

  it('that is full refuses, or accepts what then fails', async () => {
    const full = { perSecond: 0.01, maxWaiting: 0 };
    const number = await start({ channel: { queue: { ...longCode, ...full } } });
    await post(number.url, RIGHT);
    expect(await post(number.url, RIGHT)).toMatchObject({ status: 400, body: { code: 21611 } });
    expect(number.control.stats().faults).toMatchObject({ queue_full: 1 });

    const receiver = await startReceiver();
    const queue = { ...messagingService, ...full };
    const service = await start({ ...receiver.settings, channel: { queue } });
    await post(service.url, RIGHT);
    expect((await post(service.url, RIGHT)).status).toBe(201);
    await service.control.whenIdle();
    expect(receiver.calls.map(({ form }) => form.get('ErrorCode')).filter(Boolean)).toEqual(['30001']);
    expect(service.control.stats()).toMatchObject({ accepted: 2, shown: 1, faults: { queue_overflow: 1 } });
  });

  it('can be taken away', async () => {
    const { control } = await start();
    expect(control.settings.channel.queue).not.toBeNull();
    expect(control.change({ channel: { queue: null } }).channel.queue).toBeNull();
  });
});
