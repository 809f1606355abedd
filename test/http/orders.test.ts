/** A publisher's own order over HTTP: what is answered, where a parked message is seen, and how a gap is skipped. */
import { describe, expect, it } from 'vitest';
import { CHANNEL, channelOf } from '../support/engine.ts';
import { type Answer, SteeringBed } from '../support/steering.ts';

const ROOM = `/v1/rooms/${CHANNEL.channel}/r`;
const HOLDS = { channels: [channelOf({ orderGap: { timeoutMs: 1_000, policy: 'hold' } })] };

function message(order: number | undefined, fields: object = {}): object {
  return {
    channel: CHANNEL.channel,
    room: 'r',
    messageId: `o-${order}`,
    content: { id: `o-${order}` },
    order,
    ...fields,
  };
}

function publish(steered: SteeringBed, order: number | undefined, fields: object = {}): Promise<Answer> {
  return steered.call('POST', '/v1/messages', message(order, fields), 'publish');
}

describe('publishing with an order', () => {
  it('answers a parked message with what its room waits for and where to ask for it', async () => {
    const steered = await SteeringBed.start();
    const parked = await publish(steered, 7);
    const status = `${ROOM}/messages/o-7`;
    expect(parked).toEqual({
      status: 202,
      body: {
        id: null,
        room: 'r',
        sequence: null,
        duplicate: false,
        status,
        mode: 'direct',
        parked: { order: 7, waitsFor: 1 },
      },
    });
    expect((await publish(steered, 7)).body).toEqual({ ...parked.body, duplicate: true });
    expect(await steered.get(status)).toMatchObject({
      status: 200,
      body: {
        id: null,
        sequence: null,
        messageId: 'o-7',
        state: 'parked',
        publisherOrder: 7,
        parked: { order: 7, waitsFor: 1, since: steered.bed.time.now },
        outcome: null,
        acceptedAt: steered.bed.time.now,
      },
    });
  });

  it('shows the message by the same link when it has its sequence, and when it has settled', async () => {
    const steered = await SteeringBed.start();
    const { body } = await publish(steered, 2);
    const first = await publish(steered, 1);
    expect(first.body).toMatchObject({ sequence: 1 });
    expect(first.body).not.toHaveProperty('parked');
    expect((await steered.get(body.status)).body).toMatchObject({ sequence: 2, state: 'waiting', publisherOrder: 2 });
    await steered.bed.platform.last.accept();
    await steered.process.ack(steered.bed, 'r', 1);
    expect((await steered.get(`${ROOM}/messages/o-1`)).body).toMatchObject({
      id: first.body.id,
      state: 'settled',
      outcome: 'acked',
    });
    expect(await steered.get(`${ROOM}/messages/nothing`)).toMatchObject({
      status: 404,
      body: { code: 'message_not_found' },
    });
  });

  it('refuses a number of another message, and says so in a batch, too', async () => {
    const steered = await SteeringBed.start();
    await publish(steered, 1);
    expect(await publish(steered, 1, { messageId: 'other' })).toMatchObject({
      status: 409,
      body: { code: 'order_conflict', field: 'order', retryable: false },
    });
    await publish(steered, 5);
    const messages = [message(1, { messageId: 'x' }), message(2), message(5, { content: { id: 'else' } }), message(4)];
    const batch = await steered.call('POST', '/v1/messages:batch', { messages }, 'publish');
    expect(batch.body).toMatchObject({
      accepted: 2,
      refused: 2,
      results: [
        { index: 0, error: { code: 'order_conflict' } },
        { index: 1, sequence: 2 },
        { index: 2, error: { code: 'message_id_conflict' } },
        { index: 3, id: null, parked: { order: 4, waitsFor: 3 } },
      ],
    });
  });

  it('marks what comes after its number was skipped', async () => {
    const steered = await SteeringBed.start({
      channels: [channelOf({ orderGap: { timeoutMs: 1_000, policy: 'skip' } })],
    });
    await publish(steered, 2);
    await steered.bed.time.advance(1_100);
    const late = await publish(steered, 1);
    expect(late.body).toMatchObject({ sequence: 2, late: true });
    expect((await steered.get(late.body.status)).body).toMatchObject({ publisherOrder: 1, late: true });
    const { body } = await steered.get(`${ROOM}/messages`);
    expect(body.messages).toMatchObject([
      { sequence: 2, publisherOrder: 1, late: true },
      { sequence: 1, publisherOrder: 2 },
    ]);
  });

  it('refuses what is no whole number from 1 on', async () => {
    const steered = await SteeringBed.start();
    for (const order of [0, -1, 1.5, '1', null, Number.MAX_SAFE_INTEGER, true]) {
      const { status, body } = await steered.call('POST', '/v1/messages', { ...message(1), order }, 'publish');
      expect({ order, status, field: body.field }).toEqual({ order, status: 400, field: 'order' });
    }
  });
});

describe('a room with a gap', () => {
  it('says what it waits for, since when, how many are parked and until when', async () => {
    const steered = await SteeringBed.start();
    const since = steered.bed.time.now;
    await publish(steered, 7);
    await publish(steered, 9);
    await steered.bed.time.advance(12_000);
    expect((await steered.get(ROOM)).body).toMatchObject({
      phase: 'idle',
      explanation: '2 messages are parked: order 1 has been missing for 12 s, and is waited for 18 s more at most',
      counts: { accepted: 0, settled: 0, waiting: 0, parked: 2 },
      gap: { waitsFor: 1, since, skippedAt: since + 30_000 },
    });
    await publish(steered, undefined, { messageId: 'plain' });
    expect((await steered.get(ROOM)).body.explanation).toMatch(/^message 1 .*; 2 messages are parked: order 1 /);
  });

  it('has no gap in its view otherwise', async () => {
    const steered = await SteeringBed.start();
    await publish(steered, 1);
    const { body } = await steered.get(ROOM);
    expect(body.counts.parked).toBe(0);
    expect(body).not.toHaveProperty('gap');
  });
});

describe.each([
  ['by the holder', true],
  ['by another process', false],
] as const)('skip-gap, ordered %s', (_who, holds) => {
  it('gives the missing numbers up, is in the audit, and what was parked is sent', async () => {
    const steered = await SteeringBed.start(HOLDS, holds);
    await publish(steered, 4);
    expect((await steered.get(ROOM)).body.explanation).toBe(
      '1 message is parked: order 1 has been missing for 0.0 s, and is waited for until an operator skips it',
    );
    const foreseen = await steered.post(`${ROOM}/skip-gap`, { dryRun: true });
    expect(foreseen.body).toMatchObject({ waitsFor: 1, skipped: null, dryRun: true, room: { tail: 0 } });
    const skipped = await steered.post(`${ROOM}/skip-gap`, { waitsFor: 1, reason: 'lost by the publisher' });
    expect(skipped).toMatchObject({
      status: 200,
      body: { waitsFor: 1, skipped: { first: 1, last: 3 }, dryRun: false, room: { tail: 1, counts: { parked: 0 } } },
    });
    await steered.bed.time.until(() => steered.bed.platform.sends.length === 1, 11_000);
    expect(await steered.audited()).toMatchObject([
      { actor: 'operate', action: 'room.skip_gap', detail: { waitsFor: 1, reason: 'lost by the publisher' } },
    ]);
    expect(await steered.post(`${ROOM}/skip-gap`)).toMatchObject({ status: 409, body: { code: 'no_gap' } });
  });
});

describe('skip-gap', () => {
  it('does nothing where the room waits for another number, and needs an operator', async () => {
    const steered = await SteeringBed.start(HOLDS);
    await publish(steered, 4);
    const other = await steered.post(`${ROOM}/skip-gap`, { waitsFor: 2 });
    expect(other).toMatchObject({ status: 409, body: { code: 'no_gap', detail: 'The room waits for order 1' } });
    expect(await steered.call('POST', `${ROOM}/skip-gap`, {}, 'read')).toMatchObject({ status: 403 });
    expect(await steered.post(`/v1/rooms/${CHANNEL.channel}/nobody/skip-gap`)).toMatchObject({ status: 404 });
    for (const waitsFor of [0, 1.5, '1']) {
      expect(await steered.post(`${ROOM}/skip-gap`, { waitsFor })).toMatchObject({ status: 400 });
    }
    expect(await steered.audited()).toEqual([]);
    expect((await steered.bed.row('r')).tail).toBe(0);
  });
});
