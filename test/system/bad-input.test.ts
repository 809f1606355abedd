import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WEBHOOK_SECRET } from '../../simulators/rig/engine-config.ts';
import { contentDigest } from '../../src/engine/message.ts';
import { MESSAGES } from '../fuzz/corpus/messages.ts';
import { type System, startSystem, TEST_TIMEOUT_MS, type Traffic } from '../support/system.ts';

const VALID = { channel: 'main', room: 'r', messageId: 'm', content: { text: 'hello' } };
const hex = (bytes: Uint8Array): string => Buffer.from(contentDigest(bytes)).toString('hex');
const DEEP = `${'{"a":'.repeat(40)}1${'}'.repeat(40)}`;

interface BadMessage {
  readonly name: string;
  readonly code: string;
  /** The field that the answer names; undefined: the body as a whole. */
  readonly field?: string;
  readonly body: string | Buffer;
}

const bad = (name: string, code: string, field: string | undefined, body: object | string | Buffer): BadMessage => ({
  name,
  code,
  ...(field === undefined ? {} : { field }),
  body: typeof body === 'string' || body instanceof Buffer ? body : JSON.stringify(body),
});

const BAD_MESSAGES: readonly BadMessage[] = [
  bad('no JSON', 'body_malformed_json', undefined, '{"channel":"main",'),
  bad('an empty body', 'body_malformed_json', undefined, ' '),
  bad(
    'bytes that are no UTF-8',
    'body_not_utf8',
    undefined,
    Buffer.from(JSON.stringify(VALID).replace('ll', '\xff'), 'latin1'),
  ),
  bad(
    'more than a megabyte',
    'body_too_large',
    undefined,
    JSON.stringify({ ...VALID, content: { text: 'x'.repeat(1_048_577) } }),
  ),
  bad('a content that is too large', 'payload_too_large', 'content', {
    ...VALID,
    content: { text: 'x'.repeat(300_000) },
  }),
  bad(
    'too many levels',
    'body_too_deep',
    undefined,
    JSON.stringify({ ...VALID, content: 0 }).replace(':0', `:${DEEP}`),
  ),
  bad('no room', 'field_missing', 'room', { ...VALID, room: undefined }),
  bad('a number as room', 'field_type', 'room', { ...VALID, room: 5 }),
  bad('a text as content', 'field_type', 'content', { ...VALID, content: 'hello' }),
  bad('a field that nobody knows', 'field_unknown', 'rom', { ...VALID, rom: 'r' }),
  bad('a date that does not exist', 'field_invalid', 'notBefore', { ...VALID, notBefore: '2026-02-30T00:00:00Z' }),
  bad('a channel that nobody configured', 'channel_unknown', 'channel', { ...VALID, channel: 'nowhere' }),
  bad('a NUL in a text', 'text_nul_or_surrogate', 'content', { ...VALID, content: { text: 'a\u0000b' } }),
  bad('half a surrogate pair', 'text_nul_or_surrogate', 'content', JSON.stringify(VALID).replace('hello', '\\ud800')),
  bad('a number beyond all bounds', 'number_not_finite', 'content', JSON.stringify(VALID).replace('"hello"', '1e999')),
  bad('an id that is too long', 'id_too_long', 'messageId', { ...VALID, messageId: 'm'.repeat(257) }),
  bad('a line break in an id', 'id_invalid', 'messageId', { ...VALID, messageId: 'm\nm' }),
];

describe('Bad input', { timeout: TEST_TIMEOUT_MS }, () => {
  let system: System;

  beforeAll(async () => {
    system = await startSystem({
      // Nothing of the silent channel is ever acked by itself.
      channels: { main: { ackTimeoutMs: 30_000 }, silent: { ackTimeoutMs: 60_000 } },
      platform: [{ channels: { silent: { message: { status: { loseAllProbability: 1 } } } } }],
    });
  });

  beforeEach(() => system.ensureRunning());
  afterAll(() => system?.stop());

  const messagesOf = async (room: string) =>
    (await system.call('GET', `/v1/rooms/main/${encodeURIComponent(room)}/messages`)).body.messages;

  describe('over HTTP', () => {
    test.for(BAD_MESSAGES)('is refused: $name', async ({ code, field, body }) => {
      const answer = await system.call('POST', '/v1/messages', body);
      expect(answer.body).toMatchObject({ code, retryable: false, ...(field === undefined ? {} : { field }) });
      expect(answer.status).toBe(answer.body.status);
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.status).toBeLessThan(500);
      if (field !== undefined) expect(answer.body.rule).toEqual(expect.any(String));
    });

    test('is refused without a key, and with another content under a known id', async () => {
      const headers = { authorization: 'Bearer nobody' };
      expect(await system.call('POST', '/v1/messages', VALID, headers)).toMatchObject({
        status: 401,
        body: { code: 'unauthorized' },
      });
      const message = { ...VALID, room: 'conflict' };
      expect(await system.call('POST', '/v1/messages', message)).toMatchObject({ status: 202, body: { sequence: 1 } });
      expect(await system.call('POST', '/v1/messages', { ...message, content: { text: 'other' } })).toMatchObject({
        status: 409,
        body: { code: 'message_id_conflict', field: 'messageId' },
      });
      expect(await messagesOf('conflict')).toHaveLength(1);
    });
  });

  /** Puts bytes into the queue as they are. */
  async function publishRaw(orderingKey: string, data: readonly (string | Buffer)[]): Promise<void> {
    const client = system.rig.pubsub.connect();
    try {
      const messages = data.map((each) => ({ data: Buffer.from(each as string), orderingKey }));
      await client.publish({ topic: system.rig.pubsub.topicName, messages });
    } finally {
      await client.close();
    }
  }

  const letters = (reason: string) =>
    system.query<{ payload: Buffer; attributes: { orderingKey: string }; detail: string }>(
      "SELECT payload, attributes, detail FROM dead_letters WHERE kind = 'intake' AND reason = $1",
      [reason],
    );

  test('from Pub/Sub becomes dead letters, byte for byte, and later messages of its room go on', async () => {
    const traffic = system.traffic('mixed', { rooms: 5, messages: BAD_MESSAGES.length });
    for (const [index, { body }] of BAD_MESSAGES.entries()) {
      await traffic.publishWave(index + 1);
      for (let room = 1; room <= 5; room++) await publishRaw(traffic.room(room), [body]);
    }
    await traffic.untilDone();
    await system.rig.untilDrained({ deadlineMs: TEST_TIMEOUT_MS });
    const verdict = await traffic.expectClean();
    expect(verdict.messages.outcomes).toEqual({ acked: traffic.size });
    for (const { name, code, field, body } of BAD_MESSAGES) {
      const found = (await letters(code)).filter(({ payload }) => payload.equals(Buffer.from(body as string)));
      expect(new Set(found.map(({ attributes }) => attributes.orderingKey)).size, name).toBe(5);
      if (field !== undefined) expect(found[0]?.detail, name).toContain(field);
    }
  });

  test('of the whole corpus becomes a dead letter each, byte for byte, with its reason', async () => {
    // What the queue itself takes: something, and no more than some megabytes at once.
    const refused = MESSAGES.filter(({ verdict, raw }) => verdict !== 'accepted' && raw.length > 0 && raw.length < 2e6);
    expect(refused.length).toBeGreaterThan(250);
    for (let at = 0; at < refused.length; at += 20) {
      await publishRaw(
        'corpus',
        refused.slice(at, at + 20).map(({ raw }) => Buffer.from(raw)),
      );
    }
    const stored = () =>
      system.query<{ payload: Buffer; reason: string }>(
        "SELECT payload, reason FROM dead_letters WHERE attributes ->> 'orderingKey' = 'corpus' ORDER BY id",
      );
    await system.eventually('all are stored', async () => (await stored()).length >= refused.length);
    const expected = refused.map(({ raw, verdict }) => `${(verdict as { code: string }).code} ${hex(raw)}`);
    const found = (await stored()).map(({ payload, reason }) => `${reason} ${hex(payload)}`);
    expect(found.sort()).toEqual(expected.sort());
    system.count('bad messages of the corpus', refused.length);
  });

  test('with a wrong or missing ordering key, or a taken message id, becomes dead letters', async () => {
    const traffic: Traffic = system.traffic('keys', { rooms: 1, messages: 2 });
    await traffic.publishWave(1);
    const taken = traffic.message(1, 1);
    await publishRaw('another-room', [JSON.stringify({ ...VALID, messageId: 'elsewhere' })]);
    await publishRaw('', [JSON.stringify({ ...VALID, messageId: 'nowhere' })]);
    await publishRaw(traffic.room(1), [JSON.stringify({ ...taken, content: { text: 'another content' } })]);
    await traffic.publishWave(2);
    await traffic.untilDone();
    await system.rig.untilDrained({ deadlineMs: TEST_TIMEOUT_MS });
    await traffic.expectClean();
    for (const reason of ['ordering_key_mismatch', 'ordering_key_missing', 'message_id_conflict']) {
      expect(await letters(reason), reason).toHaveLength(1);
    }
  });

  describe('at the webhook', () => {
    const PATH = '/v1/webhooks/default/silent';

    function signed(body: string, { secret, at = Date.now() }: { secret: string; at?: number }) {
      const id = 'msg_test';
      const timestamp = String(Math.floor(at / 1_000));
      const digest = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64');
      return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${digest}` };
    }

    test('a bad signature is answered 401 and changes nothing, a right one settles the message', async () => {
      const { body } = await system.call('POST', '/v1/messages', { ...VALID, channel: 'silent', room: 'forged' });
      const room = () => system.query('SELECT * FROM rooms WHERE channel = $1', ['silent']);
      await system.eventually('the message waits for its ack', async () => (await room())[0]?.phase === 'awaiting_ack');
      const before = await room();
      const statuses = JSON.stringify({ statuses: [{ reference: body.id, status: 'delivered' }] });
      const secret = system.rig.secrets.read(WEBHOOK_SECRET);
      const right = signed(statuses, { secret });
      const forgeries = {
        'another secret': signed(statuses, { secret: 'another secret' }),
        'a signature of another body': signed(`${statuses} `, { secret }),
        'an old one': signed(statuses, { secret, at: Date.now() - 600_000 }),
        'one of the future': signed(statuses, { secret, at: Date.now() + 600_000 }),
        'an empty one': { ...right, 'webhook-signature': '' },
        'none at all': {},
      };
      for (const [name, headers] of Object.entries(forgeries)) {
        const answer = await system.call('POST', PATH, statuses, headers);
        expect(answer, name).toMatchObject({ status: 401, body: { code: 'signature_invalid' } });
      }
      system.count('forged webhooks', Object.keys(forgeries).length);
      expect(await room()).toEqual(before);
      const noChannel = await system.call('POST', '/v1/webhooks/default/nowhere', statuses, right);
      expect(noChannel.status).toBe(404);

      expect(await system.call('POST', PATH, statuses, right)).toMatchObject({ status: 200, body: { received: 1 } });
      const message = await system.call('GET', `/v1/messages/${body.id}`);
      expect(message.body).toMatchObject({ state: 'settled', outcome: 'acked', order: 'proven', level: 'delivered' });
    });

    test('a body that cannot be read is a coded error, rightly signed or not', async () => {
      const secret = system.rig.secrets.read(WEBHOOK_SECRET);
      for (const [body, code] of [
        ['{', 'body_malformed_json'],
        ['{}', 'field_missing'],
        ['{"statuses":{}}', 'field_type'],
      ] as const) {
        const answer = await system.call('POST', PATH, body, signed(body, { secret }));
        expect(answer, body).toMatchObject({ status: 400, body: { code } });
      }
    });
  });

  test('leaves the log without a recipient, a text, a secret or a token', async () => {
    const traffic = system.traffic('logged', { rooms: 3, messages: 2 });
    await traffic.publish();
    await publishRaw(traffic.room(1), [JSON.stringify({ ...traffic.message(1, 3), room: 5 })]);
    const junk = JSON.stringify({ ...traffic.message(1, 4), extra: 'field' });
    expect((await system.call('POST', '/v1/messages', junk)).status).toBe(400);
    expect((await system.call('GET', `/v1/rooms/main/${traffic.room(1)}?tenant=%00`)).status).toBe(400);
    await traffic.untilDone();
    await system.eventually('the refusal is logged', () => system.logged('intake.refused').length > 0);
    await system.eventually('so are the attempts', () => system.logged('attempt.finished').length >= traffic.size);
    expect(await system.leaks()).toEqual([]);
    const unstructured = system
      .log()
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('{'));
    expect(unstructured).toEqual([]);
  });
});
