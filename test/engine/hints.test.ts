import { describe, expect, it } from 'vitest';
import type { Signal } from '../../src/engine/ports.ts';
import { Bed, type BedOptions, CHANNEL, channelOf, nackOf, type Process, settled } from '../support/engine.ts';
import { SignalBus } from '../support/signals.ts';

const OUTSIDE = { roles: ['intake', 'api', 'webhook'] };

/** A worker, and a process that takes messages and webhooks and holds nothing. */
class Pair {
  readonly bus: SignalBus;
  readonly bed: Bed;
  readonly worker: Process;
  readonly outside: Process;

  private constructor(bed: Bed, worker: Process, outside: Process, bus: SignalBus) {
    this.bed = bed;
    this.worker = worker;
    this.outside = outside;
    this.bus = bus;
  }

  static async boot(options: BedOptions & { readonly withoutSignals?: boolean } = {}): Promise<Pair> {
    const bus = new SignalBus();
    const bed = new Bed({ ...options, signals: options.withoutSignals ? null : bus });
    const worker = await bed.boot();
    const outside = await bed.boot(OUTSIDE);
    // The worker finds out that it is not alone.
    await bed.time.advance(2_500);
    return new Pair(bed, worker, outside, bus);
  }

  /** Reads of the worker's, of whole rooms. */
  get reads(): number {
    return this.worker.countOf('rooms', 'readRooms');
  }

  async gaps(): Promise<number> {
    const { values } = await this.worker.instruments.metrics.ackToNextSendSeconds.get();
    return values.find(({ metricName }) => metricName?.endsWith('_count'))?.value ?? 0;
  }
}

async function roomSignal(bed: Bed, wishes: Partial<Extract<Signal, { kind: 'room' }>> = {}): Promise<Signal> {
  const { shard, id, version, tail } = await bed.row('r');
  return { kind: 'room', shard, id, version, tail, ackedAt: null, ...wishes };
}

describe('signals of other processes', () => {
  it('bring what they append to a room, and the acks that settle its messages, to its holder at once', async () => {
    const pair = await Pair.boot();
    const { bed, outside, bus } = pair;
    await outside.publish('r', ['a', 'b']);
    expect(bed.platform.log).toEqual(['r/a']);
    await bed.platform.last.accept();
    await outside.ack(bed, 'r', 1);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    expect(await bed.outcomes('r')).toEqual(['acked']);
    expect(bus.sent.filter(({ kind }) => kind === 'room')).toMatchObject([
      { ackedAt: null },
      { ackedAt: bed.time.now },
    ]);
    expect(await pair.gaps()).toBe(1);
  });

  it('about what the holder does itself are not sent', async () => {
    const { bed, worker, bus } = await Pair.boot();
    await worker.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    await worker.ack(bed, 'r', 1);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    expect(bus.sent.filter(({ kind }) => kind === 'room')).toEqual([]);
  });

  it('about a level that unlocks nothing are not sent: the holder waits on, for the ack or its time', async () => {
    const pair = await Pair.boot();
    const { bed, outside, bus } = pair;
    await outside.publish('r', ['a', 'b', 'c']);
    await bed.platform.last.accept();
    const told = () => bus.sent.filter(({ kind }) => kind === 'room').length;
    const before = [told(), pair.reads];
    await outside.ack(bed, 'r', 1, { level: 'sent' });
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', level: 'sent' });
    expect([told(), pair.reads]).toEqual(before);
    await outside.ack(bed, 'r', 1);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);

    await bed.platform.last.accept();
    await outside.ack(bed, 'r', 2, { level: 'sent' });
    await bed.time.advance(((await bed.row('r')).until ?? 0) - bed.time.now);
    expect(bed.platform.log).toEqual(['r/a', 'r/b', 'r/c']);
    expect(await bed.outcomes('r')).toEqual(['acked', 'assumed']);
  });

  it('about a level that comes before the answer are sent: the answer is decided on the row as it is', async () => {
    const { bed, outside, worker } = await Pair.boot();
    await outside.publish('r', ['a', 'b']);
    await outside.ack(bed, 'r', 1, { level: 'sent' });
    const before = worker.countOf('rooms', 'compareAndSet');
    await bed.platform.last.accept();
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', level: 'sent' });
    expect(worker.countOf('rooms', 'compareAndSet') - before).toBe(1);
  });

  it('bring the body of what is to be sent with the room: it is not read on its own', async () => {
    const { bed, outside, worker } = await Pair.boot();
    await outside.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    await outside.ack(bed, 'r', 1);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    expect(worker.countOf('rooms', 'readBodies')).toBe(0);
  });

  it('bring an operator’s order', async () => {
    const { bed, outside } = await Pair.boot();
    await outside.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    await outside.engine.rooms.post(await bed.row('r'), { type: 'skip', sequence: 1 });
    await settled();
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
  });

  it('about what is known cost no read, and a raised tail of a busy room none either', async () => {
    const pair = await Pair.boot();
    const { bed, outside, bus } = pair;
    await outside.publish('r', ['a']);
    const before = pair.reads;
    await outside.publish('r', ['b', 'c']);
    for (let n = 0; n < 3; n++) bus.deliver(await roomSignal(bed));
    await settled();
    expect(pair.reads).toBe(before);
    await bed.platform.last.accept();
    await outside.ack(bed, 'r', 1);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
  });

  it('that come twice, late or out of order, or say what is not so, change nothing', async () => {
    const pair = await Pair.boot();
    const { bed, outside, bus, worker } = pair;
    bus.copies = () => 3;
    await outside.publish('r', ['a', 'b', 'c']);
    const old = await roomSignal(bed);
    await bed.platform.last.accept();
    await outside.ack(bed, 'r', 1);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    const before = pair.reads;
    bus.deliver(old);
    bus.deliver(await roomSignal(bed, { version: 900, tail: 77 }));
    bus.deliver({ kind: 'room', shard: 0, id: 4_711, version: 1, tail: 1, ackedAt: null });
    bus.deliver({ kind: 'room', shard: 99, id: 1, version: 1, tail: 1, ackedAt: null });
    bus.deliver({ kind: 'acks', channel: { tenant: 'nobody', channel: 'nothing' } });
    await bed.time.advance(1_000);
    expect(pair.reads - before).toBeLessThan(5);
    expect(worker.failures).toEqual([]);
    await bed.platform.last.accept();
    await outside.ack(bed, 'r', 2);
    await bed.platform.last.accept();
    await outside.ack(bed, 'r', 3);
    expect(bed.platform.log).toEqual(['r/a', 'r/b', 'r/c']);
    expect(await bed.outcomes('r')).toEqual(['acked', 'acked', 'acked']);
    expect(await bed.row('r')).toMatchObject({ phase: 'idle', settled: 3, tail: 3 });
  });

  it('about a message whose append was answered late are sent when that is known', async () => {
    const { bed, outside } = await Pair.boot();
    outside.failNext('rooms', 'append', 'run_then_fail');
    const publishing = outside.publish('r', ['a']);
    await bed.time.advance(240);
    await publishing;
    expect(bed.platform.log).toEqual(['r/a']);
  });
});

describe('without signals', () => {
  async function firstSendAfter(pair: Pair, room: string): Promise<number> {
    const { bed, outside } = pair;
    const from = bed.time.now;
    await outside.publish(room, ['a']);
    await bed.time.until(() => bed.platform.sends.some((send) => send.room === room));
    return bed.time.now - from;
  }

  it('that were never configured, rooms that others write to go on within 250 ms; acks do, too', async () => {
    const pair = await Pair.boot({ withoutSignals: true });
    const { bed, outside } = pair;
    expect(await firstSendAfter(pair, 'r')).toBeLessThanOrEqual(250);
    await outside.publish('r', ['b']);
    await bed.platform.last.accept();
    await outside.ack(bed, 'r', 1);
    await bed.time.advance(250);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
  });

  it('that are lost while they seem to be live, the sweep finds the room; told of it, its holder looks at once', async () => {
    const pair = await Pair.boot();
    const { bed, bus } = pair;
    bus.copies = () => 0;
    const lateMs = await firstSendAfter(pair, 'r');
    expect(lateMs).toBeGreaterThan(500);
    expect(lateMs).toBeLessThanOrEqual(5_000);
    await pair.outside.publish('s', ['a']);
    await bed.time.advance(500);
    expect(bed.platform.sends.map(({ room }) => room)).toEqual(['r']);
    bus.deliver({ kind: 'missed' });
    await settled();
    expect(bed.platform.sends.map(({ room }) => room)).toEqual(['r', 's']);
  });

  it('that cease, rooms go on within 250 ms; what was missed until they are back is found then', async () => {
    const pair = await Pair.boot();
    const { bed, bus, worker } = pair;
    bus.live = false;
    expect(await firstSendAfter(pair, 'r')).toBeLessThanOrEqual(500);
    expect(await firstSendAfter(pair, 's')).toBeLessThanOrEqual(250);
    await pair.outside.publish('t', ['a']);
    bus.live = true;
    await bed.time.advance(250);
    expect(bed.platform.sends.at(-1)?.room).toBe('t');
    const looks = worker.countOf('rooms', 'changedSince');
    await bed.time.advance(4_000);
    expect(worker.countOf('rooms', 'changedSince')).toBe(looks);
    // So short that nobody has seen it.
    bus.copies = () => 0;
    await pair.outside.publish('u', ['a']);
    bus.copies = () => 1;
    bus.lapses++;
    await bed.time.advance(250);
    expect(bed.platform.sends.at(-1)?.room).toBe('u');
  });

  it('and without others, nothing is looked at beside the sweep', async () => {
    const bed = new Bed();
    const alone = await bed.boot();
    await alone.publish('r', ['a']);
    const looks = alone.countOf('rooms', 'changedSince');
    await bed.time.advance(20_000);
    expect(alone.countOf('rooms', 'changedSince')).toBe(looks);
  });

  it('a look reads only rooms that memory does not know as they are', async () => {
    const pair = await Pair.boot({ withoutSignals: true });
    const { bed, worker, outside } = pair;
    for (const room of ['r', 's', 't']) await worker.publish(room, ['a', 'b']);
    for (const send of [...bed.platform.sends]) await send.accept();
    await bed.time.advance(1_000);
    const before = pair.reads;
    for (const room of ['r', 's']) await worker.ack(bed, room, 1);
    await bed.time.advance(1_000);
    expect(pair.reads).toBe(before);
    await outside.ack(bed, 't', 1);
    await bed.time.advance(1_000);
    expect(pair.reads).toBe(before + 1);
  });
});

describe('acks that arrive at another process', () => {
  const OUTAGE = { ackOutage: { afterMs: 5_000, minTimeouts: 4, gapMs: 500 }, policy: { ackTimeoutMs: 1_000 } };

  /** A room for each message; of every three acks one never comes. */
  async function deliver(pair: Pair, rounds: number, ackAfterMs: number): Promise<void> {
    const { bed, outside } = pair;
    for (let round = 0; round < rounds; round++) {
      const rooms = [`r${round}`, `s${round}`, `t${round}`];
      for (const room of rooms) await outside.publish(room, ['a']);
      await bed.time.advance(300);
      for (const send of bed.platform.sends.slice(-3)) await send.accept();
      await bed.time.advance(ackAfterMs);
      await outside.ack(bed, `r${round}`, 1);
      await outside.ack(bed, `s${round}`, 1);
      await bed.time.advance(Math.max(0, 1_200 - ackAfterMs));
    }
  }

  it.each([false, true])('keep the holder from taking the silence at its own door for an outage', async (without) => {
    const pair = await Pair.boot({ channels: [channelOf(OUTAGE)], withoutSignals: without });
    await deliver(pair, 12, 300);
    expect(pair.worker.logged.filter(({ event }) => event === 'channel.state')).toEqual([]);
    expect(await pair.bed.outcomes('t3')).toEqual(['assumed']);
    expect(await pair.bed.outcomes('r3')).toEqual(['acked']);
  });

  it('do so when all of them are late', async () => {
    const pair = await Pair.boot({ channels: [channelOf(OUTAGE)] });
    await deliver(pair, 12, 1_100);
    expect(await pair.bed.outcomes('r3')).toEqual(['assumed']);
    expect(pair.worker.logged.filter(({ event }) => event === 'channel.state')).toEqual([]);
  });

  it('end an outage that the holder has found, without signals as well', async () => {
    const pair = await Pair.boot({ channels: [channelOf(OUTAGE)], withoutSignals: true });
    const channel = pair.worker.engine.channels.get(CHANNEL);
    await deliver(pair, 12, 1_100);
    expect(pair.worker.logged.some(({ fields }) => fields.state === 'ack_outage')).toBe(true);
    await pair.bed.time.advance(2_500);
    await pair.outside.ack(pair.bed, 'r11', 1, { level: 'read' });
    await pair.bed.time.advance(2_500);
    expect(channel?.condition).toEqual({ state: 'open' });
  });
});

describe('the condition of a channel', () => {
  const REVOKED = nackOf({ permanent: true, scope: 'channel', code: 'token_revoked' });
  const state = (process: Process) => process.engine.channels.get(CHANNEL)?.condition;

  it.each([
    ['at once, by a signal', false, 0],
    ['within two seconds without signals', true, 2_000],
  ])('that a status tells at a process which holds nothing reaches those who send %s', async (_, without, ms) => {
    const { bed, worker, outside } = await Pair.boot({ withoutSignals: without });
    await outside.engine.acks.receive(CHANNEL, [{ kind: 'channel', nack: REVOKED }]);
    await settled();
    await bed.time.advance(ms);
    expect(state(worker)).toMatchObject({ state: 'stopped', reason: 'token_revoked' });
    const from = bed.time.now;
    await worker.publish('r', ['a', 'b']);
    expect(bed.platform.sends).toEqual([]);

    // Its probe proves that the channel works again, which ends it everywhere.
    await bed.time.until(() => bed.platform.sends.length === 1);
    expect(bed.time.now - from).toBeLessThanOrEqual(1_000);
    await bed.platform.last.accept();
    await outside.ack(bed, 'r', 1);
    await bed.time.advance(ms * 2);
    expect(state(worker)).toEqual({ state: 'open' });
    expect(state(outside)).toEqual({ state: 'open' });
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
  });

  it('is the one that came last, in whichever order they are heard of', async () => {
    const { bed, worker, outside } = await Pair.boot();
    const { channels } = bed.stores;
    const now = bed.time.now;
    await channels.save(CHANNEL, { state: 'slowed', until: now + 60_000, reason: 'throttled' }, now - 10);
    await channels.save(CHANNEL, { state: 'stopped', reason: 'late', since: now - 500 }, now - 500);
    await worker.engine.channels.takeUp();
    expect(state(worker)).toMatchObject({ state: 'slowed' });
    await outside.engine.acks.receive(CHANNEL, [{ kind: 'channel', nack: REVOKED }]);
    await settled();
    expect(state(worker)).toMatchObject({ state: 'stopped', reason: 'token_revoked' });
    await channels.save(CHANNEL, { state: 'open' }, now - 5);
    await worker.engine.channels.takeUp();
    expect(state(worker)).toMatchObject({ state: 'stopped', reason: 'token_revoked' });
  });

  it('that a process finds out about its own way to the platform concerns nobody else', async () => {
    const { bed, worker, outside } = await Pair.boot();
    const { channels } = bed.stores;
    for (const reason of ['no_answer', 'connect_refused']) {
      await channels.save(CHANNEL, { state: 'stopped', reason, since: bed.time.now }, bed.time.now + 1);
      await worker.engine.channels.takeUp();
      expect(state(worker)).toEqual({ state: 'open' });
    }
    const unreachable = nackOf({ scope: 'channel', code: 'connect_refused' });
    worker.engine.channels.report(CHANNEL, { kind: 'refused', nack: unreachable }, 1, bed.time.now + 2);
    expect(state(worker)).toMatchObject({ state: 'stopped', reason: 'connect_refused' });
    await bed.time.advance(10);
    await channels.save(CHANNEL, { state: 'open' }, bed.time.now);
    await worker.engine.channels.takeUp();
    expect(state(worker)).toMatchObject({ state: 'stopped', reason: 'connect_refused' });
    expect(state(outside)).toEqual({ state: 'open' });
  });
});
