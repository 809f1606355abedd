import { request as httpRequest } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createFakePlatform } from '../../simulators/platform/platform.ts';
import { type Fault, instant, type Refusal, type SettingsPatch } from '../../simulators/platform/settings.ts';
import { MIGRATED, telegram } from '../../simulators/platform/telegram.ts';
import { withMark } from '../../simulators/platform/text-mark.ts';
import type { SendResult } from '../../src/engine/ports.ts';
import { answer, type Behaviour, startGateway } from './gateway.ts';
import { messageTo, open, revealable, TOKEN } from './telegram/support.ts';

const CHAT = '4200001';
const MESSAGE = { message_id: 77, date: 1_700_000_000, chat: { id: 4_200_001, type: 'private' } };

async function gatewayWith(behaviour: Behaviour) {
  const gateway = await startGateway(behaviour);
  onTestFinished(() => gateway.close());
  return { gateway, channel: open(gateway.baseUrl) };
}

async function startFake(settings: SettingsPatch = {}) {
  const platform = createFakePlatform({
    seed: 7,
    profile: telegram,
    settings: [instant, { channels: { default: { token: TOKEN } } }, settings],
  });
  await platform.start();
  onTestFinished(() => platform.stop());
  return { platform, channel: open(platform.url) };
}

/** Every message to `to` is refused like this. */
const refusing = (to: string, refusal: Refusal): SettingsPatch => ({
  recipients: { [to]: { send: { faults: { test: { kind: 'refuse', probability: 1, ...refusal } } } } },
});

const receipts = (platform: Awaited<ReturnType<typeof startFake>>['platform']) =>
  [...platform.groundTruth.records()].filter((record) => record.t === 'receipt');

describe('the request', () => {
  it('is the call of a bot method, with the token in its path alone', async () => {
    const { gateway, channel } = await gatewayWith(answer(200, { ok: true, result: MESSAGE }));
    expect(await channel.send(messageTo(CHAT))).toEqual({
      kind: 'accepted',
      platformId: '4200001:77',
      platformAt: 1_700_000_000_000,
      duplicate: false,
    });
    const [call] = gateway.received;
    expect(call).toMatchObject({ method: 'POST', url: `/bot${TOKEN}/sendMessage` });
    expect(call?.headers['content-type']).toBe('application/json');
    expect(JSON.stringify(call?.headers)).not.toContain('AAE-made_up');
    expect(JSON.parse(String(call?.body))).toEqual({ chat_id: CHAT, text: 'Grüße' });
  });

  it('names the method that the content names, and passes on what it does not know', async () => {
    const { gateway, channel } = await gatewayWith(answer(200, { ok: true, result: MESSAGE }));
    const content = { method: 'sendPhoto', photo: 'https://example.test/a.jpg', caption: 'A', of_tomorrow: [1] };
    expect(await channel.send(messageTo('@some_channel', content))).toMatchObject({ kind: 'accepted' });
    const [call] = gateway.received;
    expect(call?.url).toBe(`/bot${TOKEN}/sendPhoto`);
    const { method: _, ...parameters } = content;
    expect(JSON.parse(String(call?.body))).toEqual({ chat_id: '@some_channel', ...parameters });
  });

  it('goes below the path of the base URL, as to a server of one’s own', async () => {
    const { gateway } = await gatewayWith(answer(200, { ok: true, result: MESSAGE }));
    await open(`${gateway.baseUrl}/bots/eu/`).send(messageTo(CHAT));
    expect(gateway.received[0]?.url).toBe(`/bots/eu/bot${TOKEN}/sendMessage`);
  });

  it('keeps ids exact that a double cannot hold', async () => {
    const { gateway, channel } = await gatewayWith(
      answer(200, '{"ok":true,"result":{"message_id":5,"date":1,"chat":{"id":-1009007199254740993}}}'),
    );
    expect(await channel.send(messageTo('-1009007199254740993'))).toMatchObject({
      platformId: '-1009007199254740993:5',
    });
    expect(String(gateway.received[0]?.body)).toContain('"chat_id":"-1009007199254740993"');
  });

  it.each(['', 'token', '0123:abc', '123:with space', '123:a/../b', '123:a?b', `1:${'x'.repeat(60)}`, '123:a\r\nb'])(
    'is never made with a token that is none: %j',
    (token) => {
      const make = () => open('http://127.0.0.1:1', { accessToken: revealable(token) });
      expect(make).toThrow(/config_invalid/);
      if (token !== '') expect(make).not.toThrow(token);
    },
  );

  it.each(['', 'ä', 'with space', 'x'.repeat(257)])(
    'is never made with a secret that setWebhook refuses: %j',
    (text) => {
      expect(() => open('http://127.0.0.1:1', { webhookSecrets: [revealable(text)] })).toThrow(/config_invalid/);
    },
  );

  it.each([
    ['no JSON', 'hello'],
    ['no UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
    ['no object', '[]'],
    ['no content', '{"to":"1"}'],
    ['a recipient that is none', '{"to":"someone","content":{"text":"x"}}'],
    ['an empty text', '{"to":"1","content":{"text":""}}'],
    ['a method that is not covered', '{"to":"1","content":{"method":"deleteWebhook"}}'],
  ])('is not made from a stored body that breaks the rules: %s', async (_what, body) => {
    const { gateway, channel } = await gatewayWith(answer(200, { ok: true, result: MESSAGE }));
    expect(await channel.send({ ...messageTo(CHAT), body: Buffer.from(body) })).toEqual({
      kind: 'refused',
      nack: { permanent: true, scope: 'message', retryAfterMs: null, code: 'content_unsendable' },
    });
    expect(gateway.received).toEqual([]);
  });
});

describe('a chat with a new id', () => {
  const NEW_ID = -1_001_234_567_890;
  const migrated = answer(400, {
    ok: false,
    error_code: 400,
    description: 'Bad Request: group chat was upgraded to a supergroup chat',
    parameters: { migrate_to_chat_id: NEW_ID },
  });
  const chatIds = (received: readonly { body: Buffer }[]) =>
    received.map(({ body }) => JSON.parse(String(body)).chat_id);
  const moved: Behaviour = (response, call) => {
    const { chat_id: id } = JSON.parse(String(call.body));
    const ok = answer(200, { ok: true, result: { ...MESSAGE, chat: { id: NEW_ID } } });
    (id === String(NEW_ID) ? ok : migrated)(response, call);
  };

  it('gets the message in the same attempt, and the next ones at once', async () => {
    const { gateway, channel } = await gatewayWith(moved);
    const accepted = { kind: 'accepted', platformId: `${NEW_ID}:77` };
    expect(await channel.send(messageTo('-555'))).toMatchObject(accepted);
    expect(await channel.send(messageTo('-555'))).toMatchObject(accepted);
    expect(chatIds(gateway.received)).toEqual(['-555', String(NEW_ID), String(NEW_ID)]);
  });

  it('is not followed twice in one attempt', async () => {
    const { gateway, channel } = await gatewayWith(migrated);
    expect(await channel.send(messageTo('-555'))).toMatchObject({
      kind: 'refused',
      nack: { permanent: false, scope: 'message', retryAfterMs: null, code: '400_chat_migrated' },
    });
    expect(gateway.received).toHaveLength(2);
  });

  it('waits for the next attempt where the time of this one is nearly over', async () => {
    const { gateway, channel } = await gatewayWith(moved);
    expect(await channel.send(messageTo('-555', { text: 'x' }, 240))).toMatchObject({
      nack: { permanent: false, scope: 'message', code: '400_chat_migrated' },
    });
    expect(await channel.send(messageTo('-555'))).toMatchObject({ kind: 'accepted' });
    expect(chatIds(gateway.received)).toEqual(['-555', String(NEW_ID)]);
  });

  it('gets no more time for both requests than one attempt has', async () => {
    const { channel } = await gatewayWith((response, call) => {
      if (JSON.parse(String(call.body)).chat_id === '-555') migrated(response, call);
    });
    const startedAt = performance.now();
    expect(await channel.send(messageTo('-555', { text: 'x' }, 400))).toEqual({
      kind: 'unknown',
      code: 'timeout',
      bytesLeft: true,
    });
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});

describe('against the fake Telegram', () => {
  it('sends text, and the answer is the ack', async () => {
    const { platform, channel } = await startFake();
    const text = withMark('Hello', { run: 'run-1', key: 'key-1' });
    const result = await channel.send(messageTo(CHAT, { text }));
    expect(result).toMatchObject({ kind: 'accepted', duplicate: false });
    const [receipt] = receipts(platform);
    expect(receipt).toMatchObject({ to: CHAT, key: 'key-1', run: 'run-1', decision: 'accepted' });
    expect(result).toMatchObject({ platformId: `${CHAT}:${receipt?.id}` });
    const { platformAt } = result as Extract<SendResult, { kind: 'accepted' }>;
    expect(Math.abs(Number(platformAt) - Date.now())).toBeLessThan(60_000);
  });

  it.each<[string, object]>([
    ['a photo by address', { method: 'sendPhoto', photo: 'https://example.test/a.jpg', caption: 'A photo' }],
    ['a document by id', { method: 'sendDocument', document: 'BQACAgIAAxk-file_id' }],
    ['a video', { method: 'sendVideo', video: 'BAACAgIAAxk', duration: 5, supports_streaming: true }],
    ['an animation', { method: 'sendAnimation', animation: 'CgACAgIAAxk' }],
    ['audio', { method: 'sendAudio', audio: 'CQACAgIAAxk', title: 'A song' }],
    ['a voice message', { method: 'sendVoice', voice: 'AwACAgIAAxk' }],
    ['a sticker', { method: 'sendSticker', sticker: 'CAACAgIAAxk' }],
    ['a place', { method: 'sendLocation', latitude: 52.5, longitude: 13.4 }],
    ['a contact', { method: 'sendContact', phone_number: '+15550100001', first_name: 'A' }],
    [
      'an album',
      {
        method: 'sendMediaGroup',
        media: [
          { type: 'photo', media: 'AgACAgIAAxk', caption: 'First' },
          { type: 'video', media: 'https://example.test/b.mp4' },
        ],
      },
    ],
    ['a poll, which is passed through', { method: 'sendPoll', question: 'Which?', options: [{ text: 'a' }] }],
  ])('sends %s', async (_what, content) => {
    const { platform, channel } = await startFake();
    expect(await channel.send(messageTo(CHAT, content))).toMatchObject({ kind: 'accepted' });
    expect(receipts(platform)).toMatchObject([{ to: CHAT, decision: 'accepted' }]);
  });

  it.each<[string, Refusal, object]>([
    ['a user who blocked the bot', { status: 403 }, { permanent: true, scope: 'room', code: '403_bot_blocked' }],
    [
      'an error inside HTTP 200',
      { status: 200, code: '403', message: 'Forbidden: user is deactivated' },
      { permanent: true, scope: 'room', code: '403_user_deactivated' },
    ],
    [
      'an HTTP status that is not the error code',
      { status: 403, code: '400', message: 'Bad Request: chat not found' },
      { permanent: true, scope: 'room', code: '400_chat_not_found' },
    ],
    [
      'a wait in the body',
      { status: 429, retryAfterMs: 7_000, retryAfterIn: 'body' },
      { permanent: false, scope: 'room', retryAfterMs: 7_000, code: '429' },
    ],
    [
      'a wait in the header',
      { status: 429, retryAfterMs: 7_000, retryAfterIn: 'header' },
      { permanent: false, scope: 'room', retryAfterMs: 7_000, code: '429' },
    ],
    ['another consumer of updates', { status: 409 }, { permanent: false, scope: 'channel', code: '409' }],
    ['a proxy that forbids', { status: 403, bare: true }, { permanent: true, scope: 'channel', code: 'http_403' }],
  ])('reads %s', async (_what, refusal, nack) => {
    const { channel } = await startFake(refusing(CHAT, refusal));
    expect(await channel.send(messageTo(CHAT))).toMatchObject({ kind: 'refused', nack });
  });

  it('follows a group to its new id', async () => {
    const code = `${MIGRATED}-1001234567890`;
    const { platform, channel } = await startFake(refusing('-555', { status: 400, code }));
    expect(await channel.send(messageTo('-555'))).toMatchObject({ kind: 'accepted' });
    expect(receipts(platform)).toMatchObject([
      { to: '-555', decision: 'refused' },
      { to: '-1001234567890', decision: 'accepted' },
    ]);
    expect(receipts(platform)[0]).not.toHaveProperty('permanent');
  });

  it('stops the channel for a token that is revoked or wrong, and goes on when it is right again', async () => {
    const { platform, channel } = await startFake();
    platform.control.change({ channels: { default: { revoked: true } } });
    const nack = { permanent: true, scope: 'channel', retryAfterMs: null, code: '401' };
    expect(await channel.send(messageTo(CHAT))).toMatchObject({ kind: 'refused', nack });
    const other = open(platform.url, { accessToken: revealable('987:another') });
    expect(await other.send(messageTo(CHAT))).toMatchObject({ kind: 'refused', nack });
    platform.control.change({ channels: { default: { revoked: false } } });
    expect(await channel.send(messageTo(CHAT))).toMatchObject({ kind: 'accepted' });
  });

  it('makes one chat wait for the limit of that chat, and no other', async () => {
    const { channel } = await startFake();
    const results: SendResult[] = [];
    for (let n = 0; n < 6; n++) results.push(await channel.send(messageTo(CHAT, { text: `${n}` })));
    const refused = results.filter(({ kind }) => kind === 'refused');
    expect(refused.length).toBeGreaterThanOrEqual(2);
    for (const one of refused) expect(one).toMatchObject({ nack: { scope: 'room', retryAfterMs: 1_000, code: '429' } });
    expect(await channel.send(messageTo('4200002'))).toMatchObject({ kind: 'accepted' });
  });

  it('slows the channel once the bot itself is at its limit', async () => {
    const { channel } = await startFake({ channel: { limit: { ratePerSecond: 0.001, burst: 2 } } });
    const scopes: string[] = [];
    for (let n = 0; n < 6; n++) {
      const result = await channel.send(messageTo(`430000${n}`));
      scopes.push(result.kind === 'refused' ? result.nack.scope : result.kind);
    }
    expect(scopes).toEqual(['accepted', 'accepted', 'room', 'room', 'channel', 'channel']);
  });

  it.each<[string, Record<string, Fault>, string]>([
    ['500', { server: { kind: 'server_error', probability: 1, status: 500, when: 'after_acceptance' } }, 'http_500'],
    [
      '502 with a page',
      { server: { kind: 'server_error', probability: 1, status: 502, when: 'before_acceptance', body: 'html' } },
      'http_502',
    ],
    ['a reset after acceptance', { reset: { kind: 'reset', probability: 1, when: 'after_acceptance' } }, 'reset'],
    ['half an answer', { cut: { kind: 'truncate', probability: 1 } }, 'answer_unreadable'],
  ])('does not know what became of a message after %s', async (_what, faults, code) => {
    const { channel } = await startFake({ message: { send: { faults } } });
    expect(await channel.send(messageTo(CHAT))).toEqual({ kind: 'unknown', code, bytesLeft: true });
  });

  it('knows that nothing was sent where nobody listens', async () => {
    const { platform, channel } = await startFake();
    await platform.stop();
    expect(await channel.send(messageTo(CHAT))).toMatchObject({
      kind: 'refused',
      nack: { permanent: false, scope: 'channel', code: 'connect_refused' },
    });
  });

  it('never shows its token in a result', async () => {
    const { platform, channel } = await startFake();
    const results = [await channel.send(messageTo(CHAT))];
    platform.control.change({ channels: { default: { revoked: true } } });
    results.push(await channel.send(messageTo(CHAT)));
    await platform.stop();
    results.push(await channel.send(messageTo(CHAT)));
    expect(JSON.stringify(results)).not.toContain('AAE-made_up');
  });

  it('can be checked without sending anything', async () => {
    const { platform } = await startFake();
    const ask = async (token: string, method: string) => {
      const { statusCode, body } = await httpRequest(`${platform.url}/bot${token}/${method}`);
      return { status: statusCode, body: await body.json() };
    };
    expect(await ask(TOKEN, 'getMe')).toMatchObject({ status: 200, body: { ok: true, result: { id: 123_456_789 } } });
    expect(await ask(TOKEN, 'getWebhookInfo')).toMatchObject({ status: 200, body: { ok: true, result: { url: '' } } });
    expect(await ask('1:other', 'getMe')).toMatchObject({ status: 401, body: { ok: false, error_code: 401 } });
    expect(receipts(platform)).toEqual([]);
  });
});

describe('what is not there', () => {
  it('is said: no lookup, no handshake, no sender among several', () => {
    const channel = open('http://127.0.0.1:1');
    expect(channel).toMatchObject({ lookup: null, handshake: null, senderId: null });
  });
});
