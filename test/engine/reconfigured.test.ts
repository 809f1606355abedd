/** Channels that come, change and go while rooms wait for them, hold their permits or are being sent. */
import { describe, expect, it } from 'vitest';
import type { ChannelSettings } from '../../src/engine/policy.ts';
import type { PlatformChannel, SendResult } from '../../src/engine/ports.ts';
import { LocalRate } from '../../src/engine/rates.ts';
import {
  Bed,
  CHANNEL,
  channelOf,
  nackOf,
  type OpenSend,
  type Process,
  START,
  SteppedTime,
  settled,
} from '../support/engine.ts';

const ACCEPTED: SendResult = { kind: 'accepted', platformId: null, platformAt: null, duplicate: false };
const REVOKED: SendResult = {
  kind: 'refused',
  nack: nackOf({ scope: 'account', permanent: true, code: 'token_revoked' }),
};

const roomNames = (count: number): string[] => Array.from({ length: count }, (_, index) => `r${index}`);
const firstOf = (rooms: readonly string[]): string[] => rooms.map((room) => `${room}/a`);

async function publishOneEach(process: Process, rooms: readonly string[]): Promise<void> {
  for (const room of rooms) await process.publish(room, ['a']);
}

async function configure(process: Process, settings: ChannelSettings): Promise<void> {
  process.engine.configureChannel(settings);
  await settled();
}

async function remove(process: Process): Promise<void> {
  await process.engine.removeChannel(CHANNEL);
  await settled();
}

describe('rooms that wait for a permit', () => {
  it('get theirs in their order when there are more', async () => {
    const bed = new Bed({ channels: [channelOf({ maxConcurrentSends: 2 })] });
    const process = await bed.boot();
    const rooms = roomNames(8);
    await publishOneEach(process, rooms);
    expect(bed.platform.log).toEqual(firstOf(rooms.slice(0, 2)));
    await configure(process, channelOf({ maxConcurrentSends: 5 }));
    expect(bed.platform.log).toEqual(firstOf(rooms.slice(0, 5)));
    for (let sent = 0; sent < bed.platform.sends.length; sent++) await bed.platform.sends[sent]?.accept();
    expect(bed.platform.log).toEqual(firstOf(rooms));
  });

  it('wait until fewer are open when there are less', async () => {
    const bed = new Bed({ channels: [channelOf({ maxConcurrentSends: 4 })] });
    const process = await bed.boot();
    const rooms = roomNames(8);
    await publishOneEach(process, rooms);
    await configure(process, channelOf({ maxConcurrentSends: 1 }));
    for (const open of [0, 1, 2]) await bed.platform.sends[open]?.accept();
    expect(bed.platform.sends).toHaveLength(4);
    await bed.platform.sends[3]?.accept();
    expect(bed.platform.log).toEqual(firstOf(rooms.slice(0, 5)));
  });

  it('lose no place and get no extra burst when the limit changes under those that wait for its tokens', async () => {
    const slow = channelOf({ maxConcurrentSends: 3, channelLimit: { perSecond: 1, burst: 1 } });
    const bed = new Bed({ channels: [slow] });
    const process = await bed.boot();
    bed.platform.answers = () => ACCEPTED;
    const rooms = roomNames(7);
    await publishOneEach(process, rooms);
    await bed.time.advance(1_000);
    expect(bed.platform.log).toEqual(firstOf(rooms.slice(0, 2)));
    await configure(process, channelOf({ maxConcurrentSends: 3, channelLimit: { perSecond: 10, burst: 1 } }));
    expect(bed.platform.log).toHaveLength(2);
    await bed.time.advance(100);
    expect(bed.platform.log).toEqual(firstOf(rooms.slice(0, 3)));
    await configure(process, channelOf({ maxConcurrentSends: 3 }));
    expect(bed.platform.log).toEqual(firstOf(rooms));
  });

  it('keep to the strictest limit while the channels of an account do not agree on it', async () => {
    const account = (perSecond: number, channel: string = CHANNEL.channel) =>
      channelOf({ key: { ...CHANNEL, channel }, accountLimit: { perSecond, burst: 1 } });
    const bed = new Bed({ channels: [account(2)] });
    const process = await bed.boot();
    bed.platform.answers = () => ACCEPTED;
    await publishOneEach(process, roomNames(9));
    expect(bed.platform.sends).toHaveLength(1);
    await bed.time.advance(1_000);
    expect(bed.platform.sends).toHaveLength(3);
    process.engine.configureChannel(account(1, 'other'));
    await bed.time.advance(2_000);
    expect(bed.platform.sends).toHaveLength(5);
    process.engine.configureChannel(account(4, 'other'));
    await bed.time.advance(1_000);
    expect(bed.platform.sends).toHaveLength(7);
    await process.engine.removeChannel({ ...CHANNEL, channel: 'other' });
    await bed.time.advance(1_000);
    expect(bed.platform.sends).toHaveLength(9);
    expect(bed.platform.log).toEqual(firstOf(roomNames(9)));
  });
});

describe('a limit that changes', () => {
  it('counts what was taken under the former one', async () => {
    const time = new SteppedTime();
    const clock = { monotonic: () => time.now - START, after: time.after.bind(time) };
    const rate = new LocalRate({ perSecond: 1, burst: 3 }, clock, () => 1);
    expect([rate.tryTake(), rate.tryTake(), rate.tryTake(), rate.tryTake()]).toEqual([true, true, true, false]);
    rate.limitTo({ perSecond: 10, burst: 3 });
    expect(rate.tryTake()).toBe(false);
    await time.advance(100);
    expect([rate.tryTake(), rate.tryTake()]).toEqual([true, false]);
  });
});

describe('messages', () => {
  it('that are being sent end with the client that they began with; the next ones go with the new one', async () => {
    const used: string[] = [];
    let name = 'old';
    const bed: Bed = new Bed({
      platform: (key): PlatformChannel => {
        const client = bed.platform.channel(key);
        const by = name;
        return {
          ...client,
          send(request) {
            used.push(by);
            return client.send(request);
          },
        };
      },
    });
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    name = 'new';
    await configure(process, channelOf({ policy: { unlockedBy: 'accepted' } }));
    expect(used).toEqual(['old']);
    await bed.platform.last.accept();
    expect(used).toEqual(['old', 'new']);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    expect(await bed.outcomes('r')).toEqual(['acked']);
  });

  it('that wait go by the new policy, those that were accepted by their own deadline', async () => {
    const bed = new Bed({ channels: [channelOf({ policy: { ackTimeoutMs: 8_000 } })] });
    const process = await bed.boot();
    bed.platform.answers = () => ACCEPTED;
    await process.publish('r', ['a', 'b', 'c']);
    await configure(process, channelOf({ policy: { ackTimeoutMs: 1_000 } }));
    await bed.time.advance(7_999);
    expect(bed.platform.log).toEqual(['r/a']);
    await bed.time.advance(1);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    await bed.time.advance(1_000);
    expect(bed.platform.log).toEqual(['r/a', 'r/b', 'r/c']);
  });
});

describe('a stopped channel', () => {
  it('is tried at once under its new settings, and what the former ones are still told of counts no more', async () => {
    const patient = { probe: { initialMs: 60_000, maxMs: 60_000 } };
    const bed = new Bed({ channels: [channelOf(patient)] });
    const process = await bed.boot();
    await publishOneEach(process, ['r', 's', 't']);
    const [r, s, t] = bed.platform.sends as [OpenSend, OpenSend, OpenSend];
    await r.answer(REVOKED);
    await s.answer(REVOKED);
    const channel = process.engine.channels.get(CHANNEL);
    expect(channel?.condition).toMatchObject({ state: 'stopped', reason: 'token_revoked' });
    await bed.time.advance(10);
    await configure(process, channelOf(patient));
    await bed.time.advance(0);
    // One at a time: the last one under the former settings is still open.
    expect(bed.platform.sends).toHaveLength(3);
    await t.answer(REVOKED);
    expect(bed.platform.log).toEqual(['r/a', 's/a', 't/a', 'r/a']);
    await bed.platform.last.accept();
    expect(channel?.condition).toEqual({ state: 'open' });
    expect(bed.platform.log.slice(4).toSorted()).toEqual(['s/a', 't/a']);
  });
});

describe('a channel that is removed', () => {
  it('leaves its rooms waiting with all that they have; when it is there again they go on in order', async () => {
    const bed = new Bed({ channels: [channelOf({ maxConcurrentSends: 2 })] });
    const process = await bed.boot();
    const rooms = roomNames(6);
    for (const room of rooms) await process.publish(room, ['a', 'b']);
    expect(bed.platform.sends).toHaveLength(2);
    await remove(process);
    expect(process.engine.channels.get(CHANNEL)).toBeNull();
    for (const open of [0, 1]) await bed.platform.sends[open]?.accept();
    await process.ack(bed, 'r0', 1);
    await bed.time.advance(120_000);
    expect(bed.platform.sends).toHaveLength(2);
    expect(await process.gauge('livenessViolations')).toBe(0);
    expect(await bed.outcomes('r0')).toEqual(['acked']);
    expect(await bed.row('r5')).toMatchObject({ settled: 0, tail: 2, attempt: 0 });
    expect(await bed.stores.deadLetters.list(null, 10)).toEqual([]);

    bed.platform.answers = () => ACCEPTED;
    await configure(process, channelOf({ policy: { unlockedBy: 'accepted' } }));
    await bed.time.advance(10_000);
    for (const room of rooms) {
      expect(bed.platform.log.filter((sent) => sent.startsWith(`${room}/`))).toEqual([`${room}/a`, `${room}/b`]);
      expect((await bed.outcomes(room)).length).toBe(2);
    }
    expect(process.failures).toEqual([]);
  });

  it('while a claim of it is being stored sends nothing, and settles nothing', async () => {
    let there = true;
    const bed: Bed = new Bed({ platform: (key) => (there ? bed.platform.channel(key) : null) });
    const process = await bed.boot();
    process.failNext('rooms', 'compareAndSet', { action: 'run', afterMs: 100 });
    await process.publish('r', ['a']);
    there = false;
    await remove(process);
    await bed.time.advance(60_000);
    expect(bed.platform.sends).toEqual([]);
    expect(await bed.row('r')).toMatchObject({ settled: 0, tail: 1, spent: 0 });
    there = true;
    await configure(process, channelOf());
    await bed.time.advance(1_000);
    expect(bed.platform.log).toEqual(['r/a']);
  });
});
