/** A channel that accepts every request and refuses by status: what is accepted proves nothing. */
import { describe, expect, it } from 'vitest';
import type { ChannelCondition, SendResult } from '../../src/engine/ports.ts';
import type { Nack } from '../../src/room/room.ts';
import { Bed, CHANNEL, channelOf, nackOf, type Process, START, settled } from '../support/engine.ts';

const ACCEPTED: SendResult = { kind: 'accepted', platformId: null, platformAt: null, duplicate: false };
const NO_CREDIT = nackOf({ scope: 'account', permanent: true, code: 'no_credit' });

const conditionOf = (process: Process): ChannelCondition | undefined => process.engine.channels.get(CHANNEL)?.condition;

/** Accepts everything; after `delayMs` it says by a status what became of it. */
function tellLater(bed: Bed, process: Process, delayMs: number, verdict: () => Nack | 'delivered' | 'nothing'): void {
  bed.platform.answers = ({ request: { reference } }) => {
    const said = verdict();
    const told = said === 'delivered' ? { level: 'delivered', nack: null } : { level: null, nack: said };
    bed.time.after(delayMs, () => {
      if (said === 'nothing') return;
      const status = { kind: 'status', reference, platformId: null, at: null, cumulative: false, ...told } as const;
      void process.engine.acks.receive(CHANNEL, [status as Parameters<typeof process.engine.acks.receive>[1][number]]);
    });
    return ACCEPTED;
  };
}

/** When, after the start, each request was made, in ms. */
const timesOf = (bed: Bed): number[] => bed.platform.sends.map(({ at }) => at - START);

const ROOMS = ['a', 'b', 'c', 'd', 'e', 'f'];

async function publishOneEach(process: Process, rooms: readonly string[]): Promise<void> {
  for (const room of rooms) await process.publish(room, ['1']);
}

describe('a channel that refuses by status for an hour', () => {
  it('gets one probe at a time, with growing pauses; the probe’s ack opens it, nothing is used up or lost', async () => {
    const bed = new Bed({ channels: [channelOf({ policy: { maxAttempts: 2 } })] });
    const process = await bed.boot();
    let works = false;
    tellLater(bed, process, 200, () => (works ? 'delivered' : NO_CREDIT));
    await publishOneEach(process, ROOMS);
    await bed.time.advance(3_600_000);
    expect(conditionOf(process)).toMatchObject({ state: 'stopped', reason: 'no_credit' });
    const probes = timesOf(bed).slice(ROOMS.length);
    // The nack comes 200 ms after the probe; the next probe after 1, 2, 4, 8, 16, then 30 seconds.
    expect(probes.slice(0, 6)).toEqual([1_200, 3_400, 7_600, 15_800, 32_000, 62_200]);
    expect(probes.length).toBeLessThan(130);
    for (const room of ROOMS) expect(await bed.row(room)).toMatchObject({ settled: 0, spent: 0 });
    expect(await bed.stores.deadLetters.list(null, 10)).toEqual([]);

    works = true;
    const before = bed.platform.sends.length;
    await bed.time.until(() => bed.platform.sends.length > before);
    expect(conditionOf(process)).toMatchObject({ state: 'stopped' });
    await bed.time.advance(199);
    expect(bed.platform.sends).toHaveLength(before + 1);
    await bed.time.advance(1);
    expect(conditionOf(process)).toEqual({ state: 'open' });
    await bed.time.advance(1_000);
    for (const room of ROOMS) expect(await bed.outcomes(room)).toEqual(['acked']);
  });

  it('and answers its probes with a refusal of the one message proves nothing by that', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    tellLater(bed, process, 0, () => NO_CREDIT);
    await publishOneEach(process, ['a', 'b', 'c']);
    await bed.time.advance(0);
    bed.platform.answers = () => ({ kind: 'refused', nack: nackOf() });
    await bed.time.advance(3_000);
    expect(conditionOf(process)).toMatchObject({ state: 'stopped' });
    expect(timesOf(bed).slice(3)).toEqual([1_000, 3_000]);
  });

  it('hears of what was under way when it stopped without putting off the probe', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    bed.platform.answers = () => ACCEPTED;
    await publishOneEach(process, ROOMS);
    for (const room of ROOMS) {
      await process.ack(bed, room, 1, { level: null, nack: NO_CREDIT });
      await bed.time.advance(100);
    }
    expect(bed.platform.sends).toHaveLength(ROOMS.length);
    await bed.time.advance(400);
    expect(timesOf(bed).slice(ROOMS.length)).toEqual([1_000]);
  });
});

describe('a probe whose acceptance proves nothing', () => {
  it('opens the channel after a quiet time as long as the ack timeout, where no status comes', async () => {
    const bed = new Bed({ channels: [channelOf({ policy: { ackTimeoutMs: 5_000 } })] });
    const process = await bed.boot();
    let quiet = false;
    tellLater(bed, process, 0, () => (quiet ? 'nothing' : NO_CREDIT));
    await publishOneEach(process, ROOMS);
    await bed.time.advance(0);
    quiet = true;
    await bed.time.advance(5_999);
    expect(conditionOf(process)).toMatchObject({ state: 'stopped', reason: 'no_credit' });
    expect(bed.platform.sends).toHaveLength(ROOMS.length + 1);
    await bed.time.advance(1);
    expect(conditionOf(process)).toEqual({ state: 'open' });
    await bed.time.advance(20_000);
    for (const room of ROOMS) expect(await bed.outcomes(room)).toEqual(['assumed']);
  });

  it('is refuted by a refusal that comes later than the ack timeout, too', async () => {
    const bed = new Bed({ channels: [channelOf({ policy: { ackTimeoutMs: 1_000 } })] });
    const process = await bed.boot();
    tellLater(bed, process, 1_500, () => NO_CREDIT);
    const ids = Array.from({ length: 100 }, (_, index) => `${index}`);
    await process.publish('a', ids);
    await bed.time.advance(600_000);
    // The quiet time grows with the pauses between probes, so that it outlasts what comes late.
    expect(bed.platform.sends.length).toBeLessThan(30);
    expect(conditionOf(process)).toMatchObject({ state: 'stopped', reason: 'no_credit' });
  });

  it('is not proven by the late ack of another room’s message', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    bed.platform.answers = () => ACCEPTED;
    await publishOneEach(process, ['a', 'b', 'c']);
    await process.ack(bed, 'a', 1, { level: null, nack: NO_CREDIT });
    await bed.time.advance(1_000);
    expect(bed.platform.last.room).toBe('a');
    await process.ack(bed, 'b', 1);
    expect(await bed.outcomes('b')).toEqual(['acked']);
    expect(conditionOf(process)).toMatchObject({ state: 'stopped' });
    await process.ack(bed, 'a', 1);
    expect(conditionOf(process)).toEqual({ state: 'open' });
  });

  it('opens no channel that has ended', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    tellLater(bed, process, 0, () => NO_CREDIT);
    await process.publish('a', ['1']);
    await bed.time.advance(0);
    bed.platform.answers = () => null;
    await bed.time.advance(1_000);
    const stopping = process.engine.service.stop();
    await bed.platform.last.accept();
    await bed.time.advance(20_000);
    await stopping;
    await settled();
    expect(conditionOf(process)).toMatchObject({ state: 'stopped' });
  });
});
