/** From the statuses of a webhook call to what becomes of rooms and of the history. */
import { describe, expect, it } from 'vitest';
import type { StatusItem } from '../../src/engine/ports.ts';
import { Bed, CHANNEL, channelOf, nackOf, type Process, START, settled, statusOf } from '../support/engine.ts';

const NEVER_ECHOES = channelOf({ echoesReference: 'never' });

/** How many acks were counted, by kind. */
async function countsOf(process: Process): Promise<Record<string, number>> {
  const { values } = await process.instruments.metrics.acks.get();
  return Object.fromEntries(values.map(({ labels, value }) => [String(labels.kind), value]));
}

function watermark(to: string, at: number, level: 'delivered' | 'read' = 'delivered'): StatusItem {
  return { kind: 'watermark', to, level, watermark: at };
}

describe('statuses', () => {
  it('of one call are matched by reference or by platform id, and never decide about each other', async () => {
    const bed = new Bed({ channels: [NEVER_ECHOES] });
    const process = await bed.boot();
    for (const room of ['r', 's', 't']) await process.publish(room, ['a']);
    for (const [index, send] of bed.platform.sends.entries()) await send.accept(`gw-${index}`);
    const reference = process.references.encode(await bed.row('t'), 1);
    await process.engine.acks.receive(CHANNEL, [
      { kind: 'unreadable', code: 'item_type' },
      statusOf({ reference: 'not-one-of-ours', platformId: 'gw-0' }),
      statusOf({ platformId: 'nobody-knows' }),
      statusOf({ level: null, platformId: 'gw-1' }),
      statusOf({ reference }),
      statusOf({}),
      watermark('nobody', START),
    ]);
    expect(await bed.outcomes('r')).toEqual(['acked']);
    expect(await bed.outcomes('s')).toEqual([]);
    expect(await bed.outcomes('t')).toEqual(['acked']);
    expect(await countsOf(process)).toEqual({ matched: 2, unknown: 3, ignored: 2 });
  });

  it('of content that gets no higher ones settle it, after a restart, too', async () => {
    const bed = new Bed();
    const first = await bed.boot();
    await first.publish('r', ['reaction', 'text']);
    await bed.platform.last.answer({
      kind: 'accepted',
      platformId: null,
      platformAt: null,
      duplicate: false,
      highestLevel: 'sent',
    });
    await first.engine.service.stop();
    const second = await bed.boot();
    await second.ack(bed, 'r', 1, { level: 'sent' });
    expect(await bed.outcomes('r')).toEqual(['acked']);
    expect(bed.platform.log).toEqual(['r/reaction', 'r/text']);
    await bed.platform.last.accept();
    await second.ack(bed, 'r', 2, { level: 'sent' });
    expect(await bed.outcomes('r')).toEqual(['acked']);
  });

  it('are answered for only when all of them are on disk', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    for (const room of ['r', 's']) await process.publish(room, ['a']);
    for (const send of bed.platform.sends) await send.accept();
    process.faults = ({ method }) =>
      method === 'compareAndSet' ? { action: 'run', beforeMs: 30, afterMs: 10 } : 'run';
    const rows = await Promise.all(['r', 's'].map((room) => bed.row(room)));
    let received = false;
    const receiving = process.engine.acks
      .receive(
        CHANNEL,
        rows.map((row) => statusOf({ reference: process.references.encode(row, 1) })),
      )
      .then(() => {
        received = true;
      });
    await bed.time.advance(39);
    expect(received).toBe(false);
    await bed.time.advance(1);
    await receiving;
    expect(await bed.outcomes('s')).toEqual(['acked']);
  });

  it('that the store did not take are refused as a whole, and may come again', async () => {
    const bed = new Bed({ channels: [NEVER_ECHOES] });
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await bed.platform.last.accept('gw-1');
    process.failNext('inbox', 'matchOrKeep');
    const items = [statusOf({ platformId: 'gw-1' })];
    await expect(process.engine.acks.receive(CHANNEL, items)).rejects.toThrow('failed before it began');
    expect(await bed.outcomes('r')).toEqual([]);
    await process.engine.acks.receive(CHANNEL, items);
    expect(await bed.outcomes('r')).toEqual(['acked']);
  });

  it('of one platform id are kept per channel: another channel’s same id is another message', async () => {
    const other = channelOf({ key: { tenant: 'default', channel: 'other' }, echoesReference: 'never' });
    const bed = new Bed({ channels: [NEVER_ECHOES, other] });
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await process.engine.acks.receive(other.key, [statusOf({ platformId: 'gw-1' })]);
    await bed.platform.last.accept('gw-1');
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', settled: 0 });
    await process.engine.acks.receive(CHANNEL, [statusOf({ platformId: 'gw-1' })]);
    expect(await bed.outcomes('r')).toEqual(['acked']);
  });

  it('keep the platform’s own time in whole ms, and the time of receipt where it gives none', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    for (const room of ['r', 's']) await process.publish(room, ['a']);
    for (const send of bed.platform.sends) await send.accept();
    await bed.time.advance(70);
    await process.ack(bed, 'r', 1, { at: START + 12.75 });
    await process.ack(bed, 's', 1);
    expect((await bed.entry('r', 1)).levelAt).toBe(START + 12);
    expect((await bed.entry('s', 1)).levelAt).toBe(START + 70);
  });

  it('that go back change nothing; one that contradicts a delivery resends nothing', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    await process.ack(bed, 'r', 1, { level: 'read' });
    await process.ack(bed, 'r', 1, { level: 'delivered' });
    await process.ack(bed, 'r', 1, { level: null, nack: nackOf({ permanent: true }) });
    expect(await bed.entry('r', 1)).toMatchObject({ outcome: 'acked', level: 'read', lateNackCode: null });
    expect(await bed.stores.deadLetters.list(null, 10)).toEqual([]);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
  });
});

describe('a nack', () => {
  it('while its request is open takes effect when that is answered', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    await process.ack(bed, 'r', 1, { level: null, nack: nackOf({ permanent: true, code: 'gone' }) });
    expect(await bed.row('r')).toMatchObject({ phase: 'sending', settled: 0 });
    await bed.platform.last.accept();
    expect(await bed.entry('r', 1)).toMatchObject({ outcome: 'failed', code: 'gone' });
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
  });

  it('of a message that waits for its ack sends it again where that may help', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await bed.platform.last.accept('gw-1');
    await process.ack(bed, 'r', 1, { level: null, nack: nackOf({ code: 'queue_full' }), platformId: 'gw-1' });
    await bed.time.advance(500);
    expect(bed.platform.sends.map(({ request }) => request.attempt)).toEqual([1, 2]);
  });
});

describe('a refusal of the whole channel', () => {
  it('that a status tells of stops it, and its rooms keep their messages', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    const nack = nackOf({ permanent: true, scope: 'account', code: 'payment' });
    await process.engine.acks.receive(CHANNEL, [
      { kind: 'channel', nack },
      { kind: 'channel', nack },
    ]);
    expect(process.engine.channels.get(CHANNEL)?.condition).toMatchObject({ state: 'stopped', reason: 'payment' });
    await process.publish('r', ['a']);
    expect(bed.platform.sends).toHaveLength(0);
  });
});

describe('a cumulative ack', () => {
  it('settles at most the message in flight, and raises those before it', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a', 'b', 'c', 'd']);
    await bed.platform.last.accept();
    await bed.time.advance(5_000);
    await bed.platform.last.accept();
    await process.ack(bed, 'r', 4, { level: 'delivered', cumulative: true });
    expect(await bed.entry('r', 1)).toMatchObject({ outcome: 'assumed', level: 'delivered' });
    expect(await bed.outcomes('r')).toEqual(['assumed', 'acked']);
    expect(await bed.row('r')).toMatchObject({ phase: 'sending', settled: 2 });
  });
});

describe('an ack after a long silence', () => {
  const MESSAGES = 170;

  /** Messages of which nothing was told, all but the last settled. */
  async function silence(): Promise<{ readonly bed: Bed; readonly process: Process }> {
    const bed = new Bed();
    const process = await bed.boot();
    const ids = Array.from({ length: MESSAGES }, (_, index) => `m-${index}`);
    await process.publish('r', ids);
    for (const [index] of ids.entries()) {
      await bed.platform.last.accept(null, 1_000 + index);
      if (index < MESSAGES - 1) await bed.time.advance(5_000);
    }
    return { bed, process };
  }

  async function unproven(bed: Bed): Promise<number[]> {
    const sequences = Array.from({ length: MESSAGES }, (_, index) => index + 1);
    const entries = await Promise.all(sequences.map((sequence) => bed.entry('r', sequence)));
    return entries.filter(({ level }) => level !== 'delivered' && level !== 'read').map(({ sequence }) => sequence);
  }

  const all = { level: 'delivered', cumulative: true } as const;

  it.each(['cumulative', 'watermark'] as const)('raises everything before it: %s', async (form) => {
    const { bed, process } = await silence();
    if (form === 'cumulative') await process.ack(bed, 'r', MESSAGES, all);
    else await process.engine.acks.receive(CHANNEL, [watermark('r', 1_000 + MESSAGES)]);
    expect(await unproven(bed)).toEqual([]);
    expect((await bed.outcomes('r')).at(-1)).toBe('acked');
  });

  it('raises all the same where the store failed in the middle, and the ack was told again', async () => {
    const { bed, process } = await silence();
    let updates = 0;
    process.faults = ({ method }) => (method === 'updateSettled' && ++updates === 2 ? 'fail_before' : 'run');
    await expect(process.ack(bed, 'r', MESSAGES, all)).rejects.toThrow();
    expect((await unproven(bed)).length).toBeGreaterThan(50);
    await process.ack(bed, 'r', MESSAGES, all);
    expect(await unproven(bed)).toEqual([]);
  });

  it('raises all where another process changes some of them meanwhile', async () => {
    const { bed, process } = await silence();
    const { history } = bed.stores;
    const { shard, id } = await bed.row('r');
    process.faults = ({ method }) => (method === 'updateSettled' ? { action: 'run', beforeMs: 50 } : 'run');
    const raising = process.ack(bed, 'r', MESSAGES, all);
    await settled();
    const wanted = [MESSAGES - 1, 130, 60, 1].map((sequence) => ({ shard, id, sequence }));
    const states = (await history.readSettledStates(wanted)).filter((state) => state !== null);
    const sent = { level: 'sent', levelAt: 1 } as const;
    const changes = states.map((state) => ({
      state,
      verdict: { kind: 'raised', next: { ...state, ...sent }, deadLetter: null } as const,
      key: CHANNEL,
      fingerprint: null,
      at: 1,
    }));
    expect(await history.updateSettled(changes)).toEqual(wanted.map(() => true));
    await bed.time.advance(5_000);
    await raising;
    expect(await unproven(bed)).toEqual([]);
  });

  it('raises all where one of the last was told of by itself', async () => {
    const { bed, process } = await silence();
    for (const sequence of [MESSAGES - 1, MESSAGES - 20, 60]) await process.ack(bed, 'r', sequence, { level: 'read' });
    await process.ack(bed, 'r', MESSAGES, all);
    expect(await unproven(bed)).toEqual([]);
    expect(await bed.entry('r', 60)).toMatchObject({ level: 'read' });
  });
});

describe('a watermark', () => {
  it('counts for a message that settles between the look at its room and the read of its body', async () => {
    const bed = new Bed({ settings: { bodyCacheBytes: 0 } });
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await bed.platform.last.accept(null, 200);
    process.faults = ({ method }) => (method === 'readBodies' ? { action: 'run', beforeMs: 50 } : 'run');
    const received = process.engine.acks.receive(CHANNEL, [watermark('r', 300, 'read')]);
    await settled();
    await process.ack(bed, 'r', 1);
    await bed.time.advance(100);
    await received;
    expect(await bed.entry('r', 1)).toMatchObject({ outcome: 'acked', level: 'read' });
  });

  it('of many rooms at once costs a read of each kind for all of them', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    const rooms = Array.from({ length: 20 }, (_, index) => `r${index}`);
    for (const room of rooms) await process.publish(room, ['a', 'b', 'c']);
    for (const [index, at] of [100, 200].entries()) {
      const sends = bed.platform.sends.slice(rooms.length * index);
      for (const send of sends) await send.accept(null, at);
      if (index === 0) await bed.time.advance(5_000);
    }
    process.calls.length = 0;
    await process.engine.acks.receive(
      CHANNEL,
      rooms.map((room) => watermark(room, 200)),
    );
    for (const room of rooms) {
      expect(await bed.outcomes(room)).toEqual(['assumed', 'acked']);
      expect(await bed.entry(room, 1)).toMatchObject({ level: 'delivered' });
    }
    expect(process.countOf('rooms', 'locateRooms')).toBe(1);
    expect(process.countOf('history', 'readLowerLevels')).toBe(1);
    expect(process.countOf('history', 'updateSettled')).toBe(1);
    expect(process.countOf('rooms', 'readBodies')).toBe(0);
  });

  async function twoSettledOneOpen(): Promise<{ bed: Bed; process: Process }> {
    const bed = new Bed({ channels: [NEVER_ECHOES] });
    const process = await bed.boot();
    await process.publish('r', ['a', 'b', 'c', 'd']);
    await bed.platform.last.accept('gw-1', 100);
    await bed.time.advance(5_000);
    await bed.platform.last.accept('gw-2', 200);
    await bed.time.advance(5_000);
    await bed.platform.last.accept('gw-3', 300);
    return { bed, process };
  }

  it('covers by the platform’s own clock, up to and including the message in flight', async () => {
    const { bed, process } = await twoSettledOneOpen();
    await process.engine.acks.receive(CHANNEL, [watermark('r', 300)]);
    expect((await bed.entry('r', 1)).level).toBe('delivered');
    expect((await bed.entry('r', 2)).level).toBe('delivered');
    expect(await bed.outcomes('r')).toEqual(['assumed', 'assumed', 'acked']);
    await settled();
    expect(await bed.row('r')).toMatchObject({ phase: 'sending', settled: 3 });
  });

  it('from before the message in flight raises what it covers and settles nothing', async () => {
    const { bed, process } = await twoSettledOneOpen();
    await process.engine.acks.receive(CHANNEL, [watermark('r', 150)]);
    expect((await bed.entry('r', 1)).level).toBe('delivered');
    expect((await bed.entry('r', 2)).level).toBe('accepted');
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', settled: 2, level: 'accepted' });
  });

  it('proves nothing of a message that the platform gave no time', async () => {
    const bed = new Bed({ channels: [NEVER_ECHOES] });
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await bed.platform.last.accept('gw-1', null);
    await process.engine.acks.receive(CHANNEL, [watermark('r', 1_000)]);
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', settled: 0 });
  });

  it('that overtakes the answer to the open attempt waits for it, and settles', async () => {
    const bed = new Bed({ channels: [NEVER_ECHOES] });
    const process = await bed.boot();
    await process.publish('r', ['a']);
    const received = process.engine.acks.receive(CHANNEL, [watermark('r', 300)]);
    await settled();
    await bed.platform.last.accept('gw-1', 300);
    await bed.time.advance(20);
    await received;
    expect(await bed.outcomes('r')).toEqual(['acked']);
  });

  it('covers by the time that an ack told, before or after the answer, and after a restart', async () => {
    const bed = new Bed();
    const first = await bed.boot();
    for (const room of ['r', 's']) await first.publish(room, ['a']);
    const [toR, toS] = bed.platform.sends;
    await first.ack(bed, 'r', 1, { level: 'sent', platformAt: 300 });
    await toR?.accept();
    await toS?.accept();
    await first.ack(bed, 's', 1, { level: 'sent', platformAt: 400 });
    await first.engine.service.stop();
    const second = await bed.boot();
    for (const room of ['r', 's']) await second.engine.acks.receive(CHANNEL, [watermark(room, 399)]);
    expect(await bed.outcomes('r')).toEqual(['acked']);
    expect(await bed.row('s')).toMatchObject({ phase: 'awaiting_ack', settled: 0, level: 'sent', platformAt: 400 });
  });

  it('that no answer decides does not wait for one', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await process.engine.acks.receive(CHANNEL, [{ ...watermark('r', 300), timedByAcks: true } as StatusItem]);
    expect(await bed.row('r')).toMatchObject({ phase: 'sending', settled: 0 });
  });

  it('of somebody else, whose id happens to be the room’s name, proves nothing', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    const body = new TextEncoder().encode(JSON.stringify({ to: 'another', content: { id: 'a' } }));
    await process.publish('r', ['a'], { body });
    await bed.platform.last.accept(null, 100);
    await process.engine.acks.receive(CHANNEL, [watermark('r', 300)]);
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', settled: 0 });
  });

  it('is to be told again where that answer does not come soon', async () => {
    const bed = new Bed({ channels: [NEVER_ECHOES] });
    const process = await bed.boot();
    await process.publish('r', ['a']);
    const refused = expect(process.engine.acks.receive(CHANNEL, [watermark('r', 300)])).rejects.toMatchObject({
      code: 'not_ready',
    });
    await bed.time.advance(2_100);
    await refused;
    expect(await bed.row('r')).toMatchObject({ phase: 'sending', settled: 0 });
  });
});
