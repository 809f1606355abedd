import { request } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Message } from '../../../simulators/platform/message.ts';
import { createFakePlatform } from '../../../simulators/platform/platform.ts';
import type { UnsignedCall } from '../../../simulators/platform/profile.ts';
import { PROFILES } from '../../../simulators/platform/profiles.ts';
import { instant, type Refusal, type SettingsPatch } from '../../../simulators/platform/settings.ts';
import { MIGRATED, telegram } from '../../../simulators/platform/telegram.ts';
import { recordsOf } from './support.ts';

const TOKEN = '123456789:AAE-made_up_token';

async function start(settings: SettingsPatch = {}, seed = 7) {
  const platform = createFakePlatform({
    seed,
    profile: telegram,
    settings: [instant, { channels: { default: { token: TOKEN } } }, settings],
  });
  await platform.start();
  onTestFinished(() => platform.stop());
  return platform;
}

interface Answered {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  raw: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers of all kinds are looked at
  body: any;
}

async function call(
  url: string,
  body: unknown = { chat_id: '42', text: 'Hello' },
  {
    method = 'sendMessage',
    token = TOKEN,
    type = 'application/json',
  }: { method?: string; token?: string; type?: string } = {},
): Promise<Answered> {
  const answer = await request(`${url}/bot${token}/${method}`, {
    method: 'POST',
    headers: { 'content-type': type },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const raw = await answer.body.text();
  return { status: answer.statusCode, headers: answer.headers, raw, body: raw === '' ? null : JSON.parse(raw) };
}

const description = ({ body }: Answered) => body.description;

describe('the profile', () => {
  it('is there under its name', () => {
    expect(PROFILES.telegram).toBe(telegram);
  });
});

describe('an accepted message', () => {
  it('is answered with itself: integer ids, and a time in seconds', async () => {
    const platform = await start();
    const { status, body } = await call(platform.url);
    expect(status).toBe(200);
    expect(body).toEqual({
      ok: true,
      result: { message_id: expect.any(Number), date: expect.any(Number), chat: { id: 42, type: 'private' } },
    });
    expect(Number.isSafeInteger(body.result.message_id)).toBe(true);
    expect(Math.abs(body.result.date - Date.now() / 1_000)).toBeLessThan(60);
  });

  it('has an id of its own in its chat, later ones a higher one', async () => {
    const platform = await start({ channel: { pairLimit: null } });
    const ids: number[] = [];
    for (let n = 0; n < 5; n++) ids.push((await call(platform.url)).body.result.message_id);
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
  });

  it.each<[unknown, string]>([
    ['42', '{"id":42,"type":"private"}'],
    [42, '{"id":42,"type":"private"}'],
    ['-555', '{"id":-555,"type":"group"}'],
    ['-1009007199254740993', '{"id":-1009007199254740993,"type":"supergroup"}'],
  ])('names its chat %j in digits', async (chatId, chat) => {
    const platform = await start();
    expect((await call(platform.url, { chat_id: chatId, text: 'x' })).raw).toContain(`"chat":${chat}`);
  });

  it('to a public name tells the id behind it, always the same', async () => {
    const platform = await start();
    const send = async () => (await call(platform.url, { chat_id: '@some_channel', text: 'x' })).body.result.chat;
    const chat = await send();
    expect(chat).toEqual({ id: expect.any(Number), type: 'channel', username: 'some_channel' });
    expect(chat.id).toBeLessThan(-1_000_000_000_000);
    expect(await send()).toEqual(chat);
  });

  it('that is an album is answered with one message for each item', async () => {
    const platform = await start({ channel: { pairLimit: null } });
    const media = [1, 2, 3].map((n) => ({ type: 'photo', media: `file-${n}` }));
    const { body } = await call(platform.url, { chat_id: '42', media }, { method: 'sendMediaGroup' });
    const ids = body.result.map((message: { message_id: number }) => message.message_id);
    expect(ids).toEqual([ids[0], ids[0] + 1, ids[0] + 2]);
    expect((await call(platform.url)).body.result.message_id).toBeGreaterThan(ids[2]);
  });

  it('is shown in the order of acceptance, media and long texts included, and told by no webhook', async () => {
    const platform = await start({
      channel: { pairLimit: null },
      message: { phone: telegram.settings.message?.phone },
    });
    await call(platform.url, { chat_id: '42', photo: 'file-1' }, { method: 'sendPhoto' });
    await call(platform.url, { chat_id: '42', text: 'x'.repeat(4_000) });
    await call(platform.url, { chat_id: '42', text: 'y' });
    await platform.control.whenIdle();
    expect(recordsOf(platform, 'shown').map(({ m, order }) => [m, order])).toEqual([
      [1, 1],
      [2, 2],
      [3, 3],
    ]);
    expect(recordsOf(platform, 'status')).toEqual([]);
    expect(platform.control.stats().webhooks.calls).toBe(0);
  });

  it('is known by the mark in its text or caption; without one, by what it says', async () => {
    const platform = await start({ channel: { pairLimit: null } });
    await call(platform.url, { chat_id: '42', text: 'Hello ⟦run-1/key-1⟧' });
    await call(platform.url, { chat_id: '42', photo: 'a', caption: 'A ⟦run-1/key-2⟧' }, { method: 'sendPhoto' });
    await call(platform.url, { chat_id: '42', text: 'bare' });
    const [text, photo, bare] = recordsOf(platform, 'receipt');
    expect(text).toMatchObject({ to: '42', reference: '42/key-1', key: 'key-1', run: 'run-1', decision: 'accepted' });
    expect(photo).toMatchObject({ reference: '42/key-2', key: 'key-2', run: 'run-1' });
    expect(bare?.reference).toMatch(/^42\/[0-9a-f]{24}$/);
    expect(bare).not.toHaveProperty('key');
    expect(JSON.stringify([text, photo, bare])).not.toContain('AAE');
  });

  it('may come as a form', async () => {
    const platform = await start();
    const type = 'application/x-www-form-urlencoded';
    expect((await call(platform.url, 'chat_id=42&text=Hello', { type })).status).toBe(200);
  });

  it('may be sent twice: nothing makes one of two', async () => {
    const platform = await start({ channel: { pairLimit: null } });
    await call(platform.url);
    await call(platform.url);
    expect(recordsOf(platform, 'receipt').map(({ decision }) => decision)).toEqual(['accepted', 'accepted']);
  });
});

describe('a request that breaks a rule', () => {
  it.each<[string, unknown, string, string]>([
    ['no text', { chat_id: '42' }, 'sendMessage', 'Bad Request: message text is empty'],
    ['white space', { chat_id: '42', text: ' ' }, 'sendMessage', 'Bad Request: message text is empty'],
    ['4097 characters', { chat_id: '42', text: 'x'.repeat(4_097) }, 'sendMessage', 'Bad Request: message is too long'],
    ['no chat', { text: 'x' }, 'sendMessage', 'Bad Request: chat_id is empty'],
    ['a chat that is none', { chat_id: 'x y', text: 'x' }, 'sendMessage', 'Bad Request: chat not found'],
    ['no photo', { chat_id: '42' }, 'sendPhoto', 'Bad Request: there is no photo in the request'],
    [
      'a caption of 1025',
      { chat_id: '42', photo: 'a', caption: 'x'.repeat(1_025) },
      'sendPhoto',
      'Bad Request: message caption is too long',
    ],
    [
      'an album of one',
      { chat_id: '42', media: [{}] },
      'sendMediaGroup',
      'Bad Request: wrong number of items in the album',
    ],
    ['no JSON', '{', 'sendMessage', "Bad Request: can't parse JSON object"],
  ])('%s', async (_what, body, method, words) => {
    const platform = await start();
    const answer = await call(platform.url, body, { method });
    expect(answer.status).toBe(400);
    expect(answer.body).toEqual({ ok: false, error_code: 400, description: words });
    expect(recordsOf(platform, 'receipt')).toMatchObject([{ decision: 'refused', permanent: true }]);
  });

  it('in its content type has no parameters', async () => {
    const platform = await start();
    expect(description(await call(platform.url, undefined, { type: 'text/plain' }))).toBe(
      'Bad Request: chat_id is empty',
    );
  });

  it('by a wrong token or none is nobody’s', async () => {
    const platform = await start();
    const unauthorized = { ok: false, error_code: 401, description: 'Unauthorized' };
    expect(await call(platform.url, undefined, { token: '1:other' })).toMatchObject({
      status: 401,
      body: unauthorized,
    });
    expect(await call(platform.url, undefined, { token: 'none' })).toMatchObject({ status: 401, body: unauthorized });
    expect((await request(`${platform.url}/sendMessage`, { method: 'POST' })).statusCode).toBe(404);
  });

  it('by its method is not found', async () => {
    const platform = await start();
    expect(await call(platform.url, {}, { method: 'sendSmell' })).toMatchObject({
      status: 404,
      body: { ok: false, error_code: 404, description: 'Not Found: method not found' },
    });
  });
});

describe('limits', () => {
  it('let a chat have a short burst, then one message a second, and leave other chats alone', async () => {
    const platform = await start();
    const answers = [];
    for (let n = 0; n < 5; n++) answers.push(await call(platform.url));
    expect(answers.slice(0, 3).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(answers[4]).toMatchObject({
      status: 429,
      headers: { 'retry-after': '1' },
      body: { error_code: 429, description: 'Too Many Requests: retry after 1', parameters: { retry_after: 1 } },
    });
    expect((await call(platform.url, { chat_id: '43', text: 'x' })).status).toBe(200);
    const refused = recordsOf(platform, 'receipt').filter(({ decision }) => decision === 'refused');
    expect(refused.map(({ fault }) => fault)).toContain('limit_pair');
    for (const one of refused) expect(one).not.toHaveProperty('permanent');
  });

  it.each(['-555', '-1009007199254740993'])('let a group have twenty messages a minute: %s', async (group) => {
    expect(telegram.settings.channel?.groupLimit).toMatchObject({ ratePerSecond: 20 / 60, burst: 20 });
    const platform = await start({ channel: { pairLimit: null } });
    const write = (chatId: string) => call(platform.url, { chat_id: chatId, text: 'x' });
    for (let n = 0; n < 20; n++) expect((await write(group)).status).toBe(200);
    expect(await write(group)).toMatchObject({
      status: 429,
      headers: { 'retry-after': '3' },
      body: { error_code: 429, description: 'Too Many Requests: retry after 3', parameters: { retry_after: 3 } },
    });
    expect((await write('-556')).status).toBe(200);
    // Well below what the bot may send to all chats.
    for (let n = 0; n < 5; n++) expect((await write('42')).status).toBe(200);
    expect(platform.control.stats().faults).toEqual({ limit_group: 1 });
  });

  it('let a group have no more at once than any chat', async () => {
    const platform = await start();
    const answers = [];
    for (let n = 0; n < 5; n++) answers.push(await call(platform.url, { chat_id: '-555', text: 'x' }));
    expect(answers[4]).toMatchObject({ status: 429, body: { parameters: { retry_after: 1 } } });
  });

  it('let the bot send some thirty a second to all chats together', async () => {
    expect(telegram.settings.channel?.limit).toMatchObject({ ratePerSecond: 30, burst: 30 });
    const platform = await start({ channel: { limit: { ratePerSecond: 0.001 } } });
    const answers = await Promise.all(
      Array.from({ length: 32 }, (_, n) => call(platform.url, { chat_id: `${100 + n}`, text: 'x' })),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(30);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(2);
  });

  it('hold the call for a chat with 310 unsent messages, then make it wait for a minute', async () => {
    const settings = { limit: null, pairLimit: null, unsent: { holdMs: 200 } };
    const platform = await start({ channel: settings, message: { send: { responseDelayMs: 3_000 } } });
    const unsent = Array.from({ length: 310 }, () => call(platform.url).catch(() => undefined));
    await new Promise<void>((resolve) => {
      const stop = platform.groundTruth.onRecord(() => {
        if (platform.control.stats().accepted < 310) return;
        stop();
        resolve();
      });
    });
    platform.control.change({ message: { send: { responseDelayMs: 0 } } });
    const startedAt = performance.now();
    expect(await call(platform.url)).toMatchObject({
      status: 429,
      headers: { 'retry-after': '60' },
      body: { parameters: { retry_after: 60 } },
    });
    expect(performance.now() - startedAt).toBeGreaterThan(150);
    expect((await call(platform.url, { chat_id: '43', text: 'x' })).status).toBe(200);
    await Promise.all(unsent);
    expect((await call(platform.url)).status).toBe(200);
    expect(telegram.settings.channel?.unsent).toMatchObject({ most: 310, holdMs: 3_000 });
  });
});

describe('a refusal on demand', () => {
  it.each<[string, Refusal, number, object, object]>([
    [
      'blocked',
      { status: 403 },
      403,
      { ok: false, error_code: 403, description: 'Forbidden: bot was blocked by the user' },
      { definite: true, permanent: true },
    ],
    [
      'inside HTTP 200',
      { status: 200, code: '403' },
      200,
      { ok: false, error_code: 403, description: 'Forbidden: bot was blocked by the user' },
      { definite: true, permanent: true },
    ],
    [
      'moved',
      { status: 400, code: `${MIGRATED}-1001` },
      400,
      {
        ok: false,
        error_code: 400,
        description: 'Bad Request: group chat was upgraded to a supergroup chat',
        parameters: { migrate_to_chat_id: -1001 },
      },
      { definite: true, permanent: false },
    ],
    [
      'another consumer',
      { status: 409, permanent: false },
      409,
      { ok: false, error_code: 409, description: expect.stringContaining('Conflict') },
      { definite: true, permanent: false },
    ],
    [
      'an error of its own',
      { status: 500 },
      500,
      { ok: false, error_code: 500, description: 'Internal Server Error' },
      { definite: false, permanent: false },
    ],
  ])('%s', async (_what, refusal, status, body, verdict) => {
    const fault = { kind: 'refuse', probability: 1, ...refusal } as const;
    const platform = await start({ recipients: { '42': { send: { faults: { test: fault } } } } });
    const answer = await call(platform.url);
    expect(answer.status).toBe(status);
    expect(answer.body).toEqual(body);
    expect(telegram.judge(refusal)).toEqual(verdict);
  });

  it.each<[Refusal['retryAfterIn'], object | undefined, string | undefined]>([
    ['none', undefined, undefined],
    ['header', undefined, '7'],
    ['body', { retry_after: 7 }, undefined],
    ['both', { retry_after: 7 }, '7'],
    ['date', undefined, new Date(7_000).toUTCString()],
    ['unreadable', undefined, 'soon'],
  ])('tells the wait in: %s', (retryAfterIn, parameters, header) => {
    const refusal: Refusal = { status: 429, retryAfterMs: 6_500, ...(retryAfterIn ? { retryAfterIn } : {}) };
    const { headers, body } = telegram.refused(refusal, 0);
    expect(JSON.parse(body).parameters).toEqual(parameters);
    expect(headers[headers.indexOf('retry-after') + 1]).toBe(header ?? headers[0]);
  });

  it('that is bare comes from something before Telegram', () => {
    expect(telegram.refused({ status: 403, bare: true }, 0)).toMatchObject({ status: 403, body: '' });
    expect(telegram.judge({ status: 403, bare: true })).toEqual({ definite: true, permanent: false });
  });
});

describe('webhooks', () => {
  const unsigned: Omit<UnsignedCall, 'mode'> = {
    id: 'c1',
    nowMs: 0,
    url: 'http://127.0.0.1/',
    body: '{}',
    secrets: { present: 'now', previous: 'before' },
    both: false,
  };
  const tokenOf = ({ headers }: { headers: string[] }) => {
    const at = headers.indexOf('x-telegram-bot-api-secret-token');
    return at < 0 ? undefined : headers[at + 1];
  };

  it.each([
    ['right', 'now'],
    ['previous', 'before'],
    ['wrong_key', 'not-the-secret-token'],
    ['tampered', 'not-the-secret-token'],
    ['expired', 'not-the-secret-token'],
    ['missing', undefined],
  ] as const)('carry the token: %s', (mode, token) => {
    expect(tokenOf(telegram.sign({ ...unsigned, mode }))).toBe(token);
  });

  it('tell one update each', () => {
    const message = { no: 3, acceptedAt: 5_000, recipient: { to: '-1009007199254740993' } } as Message;
    const item = telegram.item({
      message,
      status: 'read',
      at: 9_000,
      error: undefined,
      cumulative: false,
      watermark: undefined,
    });
    expect(JSON.parse(telegram.webhookBody([item]))).toMatchObject({ update_id: 3, message: { date: 9, text: 'ok' } });
  });

  it.each(['unknownId', 'unknownReference', 'unknownStatus', 'malformed'] as const)('may be junk: %s', (kind) => {
    expect(JSON.parse(telegram.webhookBody([telegram.junk(kind, '7')]))).toHaveProperty('update_id');
  });
});
