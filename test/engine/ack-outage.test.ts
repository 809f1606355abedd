/** A channel whose acks stop altogether: it goes on without them, says so, and waits for them again when they are back. */
import { describe, expect, it } from 'vitest';
import { Telling } from '../../src/engine/hints.ts';
import type { ChannelCondition } from '../../src/engine/ports.ts';
import type { Settled } from '../../src/room/events.ts';
import { Bed, CHANNEL, channelOf, type Process, START } from '../support/engine.ts';
import { SignalBus } from '../support/signals.ts';

const X = 6_000;
const OUTAGE = { ackOutage: { afterMs: 10_000, minTimeouts: 3, gapMs: 500 }, policy: { ackTimeoutMs: X } };
const WEBHOOKS = { roles: ['intake', 'api', 'webhook'] };

const conditionOf = (process: Process): ChannelCondition | undefined => process.engine.channels.get(CHANNEL)?.condition;

async function timeOuts(bed: Bed, process: Process, rooms: readonly string[], timeoutMs = X): Promise<void> {
  for (const room of rooms) {
    await process.publish(room, ['a']);
    await bed.platform.sends.findLast((send) => send.room === room)?.accept();
  }
  await bed.time.advance(timeoutMs);
}

/** Three rooms settle without an ack, over 12 s. */
async function stopAcks(bed: Bed, process: Process): Promise<void> {
  for (const room of ['before-1', 'before-2', 'before-3']) await timeOuts(bed, process, [room]);
  expect(conditionOf(process)).toMatchObject({ state: 'ack_outage' });
}

/** When the room's messages left, after the first of them, in ms. */
function pace(bed: Bed, room: string): number[] {
  const times = bed.platform.sends.filter((send) => send.room === room).map(({ at }) => at);
  return times.map((at) => at - (times[0] as number));
}

describe('while acks have stopped', () => {
  it('rooms go on at accepted + gap, their messages settle as assumed, and the channel says so', async () => {
    const bed = new Bed({ channels: [channelOf(OUTAGE)] });
    const process = await bed.boot();
    await stopAcks(bed, process);
    bed.platform.answers = () => ({ kind: 'accepted', platformId: null, platformAt: null, duplicate: false });
    await process.publish('r', ['1', '2', '3']);
    await bed.time.advance(2_000);
    expect(pace(bed, 'r')).toEqual([0, 500, 1_000]);
    expect(await bed.outcomes('r')).toEqual(['assumed', 'assumed', 'assumed']);
    const told = process.logged.filter(({ event }) => event === 'channel.state').map(({ fields }) => fields.state);
    expect(told).toEqual(['ack_outage']);
    const { values } = await process.instruments.metrics.channelState.get();
    expect(values.find(({ value }) => value === 1)?.labels).toMatchObject({ state: 'ack_outage' });
    const [stored] = await bed.stores.channels.load();
    expect(stored?.condition).toMatchObject({ state: 'ack_outage' });
  });

  it('the minimum gap of the channel comes after the wait, as ever', async () => {
    const bed = new Bed({ channels: [channelOf({ ...OUTAGE, policy: { ackTimeoutMs: X, minGapMs: 2_000 } })] });
    const process = await bed.boot();
    await stopAcks(bed, process);
    bed.platform.answers = () => ({ kind: 'accepted', platformId: null, platformAt: null, duplicate: false });
    await process.publish('r', ['1', '2', '3']);
    await bed.time.advance(6_000);
    expect(pace(bed, 'r')).toEqual([0, 2_500, 5_000]);
  });

  it('no message waits longer than it would have', async () => {
    const bed = new Bed({ channels: [channelOf({ ...OUTAGE, ackOutage: { ...OUTAGE.ackOutage, gapMs: 5_000 } })] });
    const process = await bed.boot();
    await stopAcks(bed, process);
    bed.platform.answers = () => ({ kind: 'accepted', platformId: null, platformAt: null, duplicate: false });
    await process.publish('r', ['1', '2'], { ackTimeoutMs: 300 });
    await bed.time.advance(1_000);
    expect(pace(bed, 'r')).toEqual([0, 300]);
  });

  it('what settles by its acceptance is no ack: it neither ends the outage nor keeps it from being found', async () => {
    const bed = new Bed({ channels: [channelOf(OUTAGE)] });
    const process = await bed.boot();
    const reaction = { kind: 'accepted', platformId: null, platformAt: null, duplicate: false } as const;
    bed.platform.answers = ({ room }) =>
      room.startsWith('reaction') ? { ...reaction, highestLevel: 'accepted' } : null;
    for (const n of [1, 2, 3]) {
      await timeOuts(bed, process, [`text-${n}`]);
      await process.publish(`reaction-${n}`, ['a']);
    }
    expect(await bed.outcomes('reaction-3')).toEqual(['acked']);
    expect(conditionOf(process)).toEqual({ state: 'ack_outage', since: START + 3 * X });
  });
});

describe('what other processes are told of a settled message', () => {
  it.each([
    ['ack', 5_000],
    ['accepted', null],
  ] as const)('names an ack only where one came: settled by %s', (reason, ackedAt) => {
    const bus = new SignalBus();
    const clock = { now: () => 5_000, monotonic: () => 100, after: () => () => undefined };
    const fact = { kind: 'settled', outcome: 'acked', reason } as Settled;
    new Telling(bus.port(), clock).changed({ shard: 0, id: 1, version: 2, tail: 1 }, [fact]);
    expect(bus.sent).toMatchObject([{ kind: 'room', ackedAt }]);
  });
});

describe('acks that are back', () => {
  it.each([
    ['of the message that waits', 'r', 1],
    ['of one that settled long before', 'before-1', 1],
  ])('are found by any ack, such as that %s: rooms wait for theirs again', async (_, room, sequence) => {
    const bed = new Bed({ channels: [channelOf(OUTAGE)] });
    const process = await bed.boot();
    await stopAcks(bed, process);
    await process.publish('r', ['1', '2']);
    await bed.platform.last.accept();
    await process.ack(bed, room, sequence);
    expect(conditionOf(process)).toEqual({ state: 'open' });
    await bed.time.until(() => bed.platform.log.at(-1) === 'r/2');
    await bed.platform.last.accept();
    await bed.time.advance(X - 1);
    expect(await bed.outcomes('r')).toHaveLength(1);
    await bed.time.advance(1);
    expect(await bed.outcomes('r')).toHaveLength(2);
  });

  it('and stop again count from anew: one ack now and then keeps the channel waiting', async () => {
    const bed = new Bed({ channels: [channelOf(OUTAGE)] });
    const process = await bed.boot();
    await stopAcks(bed, process);
    const states = (): unknown[] =>
      process.logged.filter(({ event }) => event === 'channel.state').map(({ fields }) => fields.state);
    for (let flap = 1; flap <= 2; flap++) {
      await process.ack(bed, 'before-1', 1, { level: flap === 1 ? 'delivered' : 'read' });
      expect(conditionOf(process)).toEqual({ state: 'open' });
      for (const n of [1, 2]) await timeOuts(bed, process, [`again-${flap}-${n}`]);
      expect(conditionOf(process)).toEqual({ state: 'open' });
      await timeOuts(bed, process, [`again-${flap}-3`]);
      expect(conditionOf(process)).toMatchObject({ state: 'ack_outage' });
    }
    expect(states()).toEqual(['ack_outage', 'open', 'ack_outage', 'open', 'ack_outage']);
  });

  it('are taken up from the process where they arrive, for as long as they would be found missing here', async () => {
    const bed = new Bed({ channels: [channelOf(OUTAGE)] });
    const worker = await bed.boot();
    const outside = await bed.boot(WEBHOOKS);
    await bed.time.advance(2_500);
    await stopAcks(bed, worker);
    await bed.time.advance(2_500);
    expect(conditionOf(outside)).toMatchObject({ state: 'ack_outage' });
    await outside.ack(bed, 'before-1', 1);
    await bed.time.advance(2_500);
    expect(conditionOf(worker)).toEqual({ state: 'open' });
    await timeOuts(bed, worker, ['r']);
    expect(conditionOf(worker)).toEqual({ state: 'open' });
  });

  it('end an outage that a former life of the process has found', async () => {
    const bed = new Bed({ channels: [channelOf(OUTAGE)] });
    const first = await bed.boot();
    await stopAcks(bed, first);
    await first.engine.service.stop();
    const second = await bed.boot();
    expect(conditionOf(second)).toMatchObject({ state: 'ack_outage' });
    await second.publish('r', ['1']);
    await bed.platform.last.accept();
    await bed.time.advance(500);
    expect(await bed.outcomes('r')).toEqual(['assumed']);
    await second.ack(bed, 'r', 1);
    expect(conditionOf(second)).toEqual({ state: 'open' });
    expect((await bed.entry('r', 1)).level).toBe('delivered');
  });
});
