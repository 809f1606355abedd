/** Statuses of several senders that come to one webhook address. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { PlatformChannel, StatusItem, WebhookCall } from '../../src/engine/ports.ts';
import { createReferences } from '../../src/engine/reference.ts';
import { createAnswers } from '../../src/http/answers.ts';
import { Bed, CHANNEL, channelOf, SHARDS } from '../support/engine.ts';

const OTHER = { tenant: 'default', channel: 'other' };
const STRANGER = { tenant: 'default', channel: 'stranger' };
const CALL: WebhookCall = {
  method: 'POST',
  target: '/v1/webhooks/default/support',
  headers: {},
  raw: new Uint8Array(),
};

/** The senders as a platform names them, and whose secret signed the call. */
const SENDERS: Readonly<Record<string, { senderId: string; signed: boolean }>> = {
  [CHANNEL.channel]: { senderId: '1', signed: true },
  other: { senderId: '2', signed: true },
  stranger: { senderId: '3', signed: false },
};

let received: { channel: string; items: readonly StatusItem[] }[];
let items: readonly StatusItem[];

function client(name: string): PlatformChannel {
  const { senderId, signed } = SENDERS[name] as { senderId: string; signed: boolean };
  return {
    senderId,
    checkContent: null,
    send: () => Promise.reject(new Error('nothing is sent here')),
    lookup: null,
    handshake: ({ target }) => (target.includes('hub.verify_token=right') ? 'challenge' : null),
    verify: () => (signed ? { kind: 'verified' } : { kind: 'refused', code: 'signature_invalid' }),
    readStatuses: () => items,
    close: () => Promise.resolve(),
  };
}

function status(platformId: string, sender?: string): StatusItem {
  const named = sender === undefined ? {} : { sender };
  const rest = { reference: null, nack: null, at: null, cumulative: false } as const;
  return { kind: 'status', platformId, level: 'delivered', ...rest, ...named };
}

async function answers() {
  const bed = new Bed({ channels: [CHANNEL, OTHER, STRANGER].map((key) => channelOf({ key })) });
  const { engine } = await bed.boot();
  engine.acks.receive = async ({ channel }, taken) => {
    received.push({ channel, items: taken });
  };
  return createAnswers({
    engine,
    stores: bed.stores,
    references: createReferences('a secret of thirty-two characters!'),
    clock: { now: () => 0, monotonic: () => 0, after: () => () => undefined },
    shards: 1,
    platform: ({ channel }) => (channel in SENDERS ? client(channel) : null),
    wallClockMs: () => 0,
  });
}

beforeEach(() => {
  received = [];
  items = [];
});

describe('a webhook call', () => {
  it('brings each sender its own, and the rest to the channel that was called', async () => {
    items = [status('a'), status('b', '2'), status('c', '1'), status('d', '2')];
    const { receiveWebhook } = await answers();
    expect(await receiveWebhook(CHANNEL, CALL)).toEqual({ kind: 'stored', statuses: 4 });
    expect(received).toEqual([
      { channel: CHANNEL.channel, items: [status('a'), status('c', '1')] },
      { channel: 'other', items: [status('b', '2'), status('d', '2')] },
    ]);
  });

  it('moves nothing of a sender whose own secret has not signed it, nor of one that nobody configured', async () => {
    items = [status('a', '3'), status('b', '4'), { kind: 'unreadable', code: 'item_type' }];
    const { receiveWebhook } = await answers();
    await receiveWebhook(CHANNEL, CALL);
    const foreign = { kind: 'other', code: 'sender_unknown' };
    expect(received).toEqual([
      { channel: CHANNEL.channel, items: [foreign, foreign, { kind: 'unreadable', code: 'item_type' }] },
    ]);
  });

  it('is refused where the called channel does not know the signature, whatever it carries', async () => {
    items = [status('a', '1')];
    const { receiveWebhook } = await answers();
    expect(await receiveWebhook(STRANGER, CALL)).toEqual({ kind: 'refused', code: 'signature_invalid' });
    expect(received).toEqual([]);
  });
});

describe('the question whether an address is ours', () => {
  it('is answered for its token, and for no other channel', async () => {
    const { answerHandshake } = await answers();
    const asked = (token: string): WebhookCall => ({ ...CALL, method: 'GET', target: `/?hub.verify_token=${token}` });
    expect(answerHandshake(CHANNEL, asked('right'))).toBe('challenge');
    expect(answerHandshake(CHANNEL, asked('wrong'))).toBeNull();
    expect(answerHandshake({ tenant: 'default', channel: 'nobody' }, asked('right'))).toBeNull();
  });
});

describe('a room that another process holds', () => {
  it('waits for whatever it waits for, not for a worker', async () => {
    const bed = new Bed({ channels: [channelOf({ maxConcurrentSends: 1 })] });
    const holder = await bed.boot();
    const front = await bed.boot({ roles: ['api'] });
    await holder.publish('one', ['a']);
    await holder.publish('r', ['a']);
    const { findRoom } = createAnswers({
      engine: front.engine,
      stores: bed.stores,
      pipeline: bed.operators.pipeline,
      references: front.references,
      clock: front.clock,
      shards: SHARDS,
      platform: () => client(CHANNEL.channel),
      wallClockMs: () => 0,
    });
    const room = await findRoom({ ...CHANNEL, room: 'r' });
    expect(room?.explanation).toContain('permit');
  });
});
