/** Channels that refuse, stay silent or stop acking, and the permits that bound what is open. */
import { describe, expect, it } from 'vitest';
import { Channel, type Permit } from '../../src/engine/channels.ts';
import type { ChannelSettings } from '../../src/engine/policy.ts';
import type { ChannelCondition, ChannelStore, SendResult } from '../../src/engine/ports.ts';
import { createMetrics, recipientHasher, Telemetry } from '../../src/telemetry.ts';
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
  statusOf,
} from '../support/engine.ts';

const ACCEPTED: SendResult = { kind: 'accepted', platformId: null, platformAt: null, duplicate: false };
const TIMED_OUT: SendResult = { kind: 'unknown', code: 'timeout', bytesLeft: true };
const UNREACHABLE: SendResult = { kind: 'refused', nack: nackOf({ scope: 'channel', code: 'connect_refused' }) };
const REVOKED: SendResult = {
  kind: 'refused',
  nack: nackOf({ scope: 'account', permanent: true, code: 'token_revoked' }),
};

const roomNames = (count: number): string[] => Array.from({ length: count }, (_, index) => `r${index}`);

async function publishOneEach(process: Process, rooms: readonly string[]): Promise<void> {
  for (const room of rooms) await process.publish(room, ['a']);
}

/** When, after the start, each request was made, in ms. */
const timesOf = (sends: readonly OpenSend[]): number[] => sends.map(({ at }) => at - START);

const conditionOf = (process: Process, channel = CHANNEL): ChannelCondition | undefined =>
  process.engine.channels.get(channel)?.condition;

describe('permits', () => {
  it('bound the requests that are open; rooms get theirs in the order in which they came', async () => {
    const bed = new Bed({ channels: [channelOf({ maxConcurrentSends: 2 })] });
    const process = await bed.boot();
    await publishOneEach(process, roomNames(5));
    expect(bed.platform.log).toEqual(['r0/a', 'r1/a']);
    await bed.platform.sends[1]?.accept();
    expect(bed.platform.log).toEqual(['r0/a', 'r1/a', 'r2/a']);
    await bed.platform.sends[0]?.accept();
    await bed.platform.sends[2]?.accept();
    expect(bed.platform.log).toEqual(['r0/a', 'r1/a', 'r2/a', 'r3/a', 'r4/a']);
  });

  it('go to the room that has waited longest, not to the hot room that has just been answered', async () => {
    const hot = channelOf({ maxConcurrentSends: 1, policy: { unlockedBy: 'accepted' } });
    const bed = new Bed({ channels: [hot] });
    const process = await bed.boot();
    await process.publish('hot', ['1', '2', '3', '4', '5', '6']);
    await publishOneEach(process, ['quiet', 'still']);
    for (let n = 0; n < 5; n++) await bed.platform.last.accept();
    expect(bed.platform.log.slice(0, 5)).toEqual(['hot/1', 'quiet/a', 'still/a', 'hot/2', 'hot/3']);
  });

  it('are given back by a claim that the store refused', async () => {
    const bed = new Bed({ channels: [channelOf({ maxConcurrentSends: 1 })] });
    const process = await bed.boot();
    process.failNext('rooms', 'compareAndSet', 'fail_before');
    await publishOneEach(process, ['r', 's']);
    await bed.time.advance(1_000);
    expect(bed.platform.sends).toHaveLength(1);
    await bed.platform.last.accept();
    expect(bed.platform.log.toSorted()).toEqual(['r/a', 's/a']);
  });
});

describe('a platform that cannot be reached for a minute', () => {
  it('gets one probe at a time, with growing pauses; nothing is used up; then a ramp opens it', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    bed.platform.answers = () => UNREACHABLE;
    await publishOneEach(process, roomNames(20));
    await bed.time.advance(60_000);
    expect(conditionOf(process)).toMatchObject({ state: 'stopped', reason: 'connect_refused' });
    // The first, then after 1, 2, 4, 8, 16 and 30 seconds.
    expect(timesOf(bed.platform.sends)).toEqual([0, 1_000, 3_000, 7_000, 15_000, 31_000]);
    expect(await bed.stores.deadLetters.list(null, 10)).toEqual([]);

    bed.platform.answers = () => null;
    await bed.time.advance(1_000);
    const back = bed.platform.sends.length - 1;
    expect(bed.platform.sends.slice(back)).toHaveLength(1);
    await bed.platform.last.accept();
    expect(conditionOf(process)).toEqual({ state: 'open' });
    expect(bed.platform.sends.slice(back + 1)).toHaveLength(2);
    await bed.platform.sends[back + 1]?.accept();
    expect(bed.platform.sends.slice(back + 2)).toHaveLength(4);
    await bed.platform.sends[back + 2]?.accept();
    expect(bed.platform.sends.slice(back + 3)).toHaveLength(8);
    for (let n = back + 3; n < bed.platform.sends.length; n++) await bed.platform.sends[n]?.accept();
    await bed.time.advance(10_000);
    for (const room of roomNames(20)) expect((await bed.entry(room, 1)).outcome).toBe('assumed');
  });

  it('uses up no attempt of a message, however many it takes', async () => {
    const bed = new Bed({
      channels: [channelOf({ probe: { initialMs: 100, maxMs: 100 }, policy: { maxAttempts: 2 } })],
    });
    const process = await bed.boot();
    bed.platform.answers = () => UNREACHABLE;
    await process.publish('r', ['a']);
    await bed.time.advance(10_000);
    expect(bed.platform.sends.length).toBeGreaterThan(50);
    const row = await bed.row('r');
    expect(row).toMatchObject({ phase: 'waiting', reason: 'channel', spent: 0 });
    expect(row.attempts.length).toBeLessThanOrEqual(20);
  });
});

describe('a silent platform', () => {
  it('is stopped when its unknown outcomes are judged; nobody resends at once, one probe asks', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await publishOneEach(process, roomNames(10));
    await bed.time.advance(5_000);
    for (const send of bed.platform.sends) await send.fail();
    bed.platform.answers = () => null;
    await bed.time.advance(2_000);
    expect(conditionOf(process)).toMatchObject({ state: 'stopped', reason: 'no_answer' });
    expect(bed.platform.sends).toHaveLength(10);
    await bed.time.advance(1_000);
    expect(bed.platform.sends).toHaveLength(11);
    await bed.time.advance(4_000);
    await bed.platform.last.fail();
    await bed.time.advance(1_999);
    expect(bed.platform.sends).toHaveLength(11);
    await bed.time.advance(1);
    // Another room's turn: one that hangs the platform does not keep the others from showing that it works.
    expect(bed.platform.sends).toHaveLength(12);
    expect(bed.platform.sends[11]?.room).not.toBe(bed.platform.sends[10]?.room);
    await bed.platform.last.accept();
    expect(conditionOf(process)).toEqual({ state: 'open' });
    expect(bed.platform.sends).toHaveLength(14);
  });

  it('uses up no attempt, for as long as it lasts', async () => {
    const bed = new Bed({ channels: [channelOf({ policy: { maxAttempts: 2, unknownGraceMs: 100 } })] });
    const process = await bed.boot();
    bed.platform.answers = () => TIMED_OUT;
    await publishOneEach(process, roomNames(3));
    await bed.time.advance(600_000);
    for (const room of roomNames(3)) expect(await bed.row(room)).toMatchObject({ settled: 0, spent: 0 });
    expect(bed.platform.sends.length).toBeLessThan(40);
    bed.platform.answers = () => ACCEPTED;
    await bed.time.advance(60_000);
    for (const room of roomNames(3)) expect(await bed.outcomes(room)).toEqual(['assumed']);
  });

  it('that answers others meanwhile is not at fault: the message uses up its attempts and fails', async () => {
    const bed = new Bed({ channels: [channelOf({ policy: { maxAttempts: 2, ackTimeoutMs: 100 } })] });
    const process = await bed.boot();
    bed.platform.answers = ({ room }) => (room === 'bad' ? TIMED_OUT : ACCEPTED);
    await process.publish('bad', ['a']);
    for (let n = 0; n < 30; n++) {
      await process.publish('good', [`${n}`]);
      await bed.time.advance(500);
    }
    expect(await bed.entry('bad', 1)).toMatchObject({
      outcome: 'failed',
      reason: 'outcome_unknown',
      possiblyDelivered: true,
    });
    expect(conditionOf(process)).toEqual({ state: 'open' });
    expect(await bed.outcomes('good')).toEqual(Array.from({ length: 30 }, () => 'assumed'));
  });

  it('is at work again with any answer, whenever its attempt began', async () => {
    const bed = new Bed({ channels: [channelOf({ sendTimeoutMs: 7_000 })] });
    const process = await bed.boot();
    await publishOneEach(process, ['slow', 'r', 's']);
    await bed.platform.sends[1]?.fail();
    await bed.time.advance(2_000);
    expect(conditionOf(process)).toMatchObject({ state: 'stopped', reason: 'no_answer' });
    await bed.platform.sends[0]?.accept();
    expect(conditionOf(process)).toEqual({ state: 'open' });
    expect(bed.platform.log).toEqual(['slow/a', 'r/a', 's/a', 'r/a']);
  });
});

describe('a revoked token', () => {
  it('stops every channel of its account, of nobody else, and costs no message', async () => {
    const second = channelOf({ key: { tenant: 'default', channel: 'second' } });
    const other = channelOf({ key: { tenant: 'default', channel: 'other' }, account: 'account-2' });
    const foreign = channelOf({ key: { tenant: 'foreign', channel: 'support' } });
    const bed = new Bed({ channels: [channelOf(), second, other, foreign] });
    const process = await bed.boot();
    bed.platform.answers = ({ channel }) => (channel === 'default/support' ? REVOKED : null);
    await process.publish('r', ['a']);
    const states = process.engine.channels.all().map(({ name, condition }) => [name, condition.state]);
    expect(states).toEqual([
      ['default/support', 'stopped'],
      ['default/second', 'stopped'],
      ['default/other', 'open'],
      ['foreign/support', 'open'],
    ]);
    await bed.time.advance(60_000);
    expect(await bed.row('r')).toMatchObject({ phase: 'waiting', reason: 'channel', settled: 0, spent: 0 });
    bed.platform.answers = () => ACCEPTED;
    await bed.time.advance(60_000);
    expect(await bed.outcomes('r')).toEqual(['assumed']);
    expect(conditionOf(process)).toEqual({ state: 'open' });
  });

  it('is heard from a status, too, and the message of that status is sent again', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await bed.platform.last.accept();
    const nack = nackOf({ scope: 'account', permanent: true, code: 'no_credit' });
    await process.ack(bed, 'r', 1, { level: null, nack });
    expect(conditionOf(process)).toMatchObject({ state: 'stopped', reason: 'no_credit' });
    await bed.time.advance(1_000);
    expect(bed.platform.log).toEqual(['r/a', 'r/a']);
  });
});

describe('a platform that asks to wait', () => {
  it('is given the time that it asks for', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await bed.platform.last.refuse({ scope: 'channel', retryAfterMs: 7_000, code: 'throttled' });
    expect(conditionOf(process)).toMatchObject({ state: 'slowed', until: START + 7_000 });
    await publishOneEach(process, ['s']);
    await bed.time.advance(6_999);
    expect(bed.platform.sends).toHaveLength(1);
    await bed.time.advance(1);
    expect(bed.platform.sends).toHaveLength(2);
  });

  it('for no time at all, again and again, is not hammered', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    bed.platform.answers = () => ({
      kind: 'refused',
      nack: nackOf({ scope: 'channel', retryAfterMs: 0, code: 'throttled' }),
    });
    process.faults = ({ method }) => (method === 'compareAndSet' ? { action: 'run', afterMs: 5 } : 'run');
    void process.publish('r', ['a']);
    await bed.time.advance(10_000);
    expect(bed.platform.sends.length).toBeGreaterThan(5);
    expect(bed.platform.sends.length).toBeLessThan(15);
  });

  it('in many answers at once is slowed once: refusals of attempts from before say nothing new', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await publishOneEach(process, roomNames(20));
    await bed.time.advance(10);
    for (const send of bed.platform.sends.slice()) {
      await send.refuse({ scope: 'channel', retryAfterMs: 1_000, code: 'throttled' });
      await bed.time.advance(10);
    }
    expect(conditionOf(process)).toMatchObject({ state: 'slowed', until: START + 1_010 });
    await bed.time.advance(800);
    expect(bed.platform.sends).toHaveLength(21);
  });

  it('only for one room or message lets all others go on', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await publishOneEach(process, ['r', 's']);
    await bed.platform.sends[0]?.refuse({ scope: 'room', retryAfterMs: 3_000, code: 'pair_limit' });
    await bed.platform.sends[1]?.refuse({ scope: 'message', code: 'busy' });
    expect(conditionOf(process)).toEqual({ state: 'open' });
    await process.publish('t', ['a']);
    await bed.time.advance(3_000);
    expect(bed.platform.log).toEqual(['r/a', 's/a', 't/a', 's/a', 'r/a']);
  });
});

describe('an ack outage', () => {
  const settings = { ackOutage: { afterMs: 10_000, minTimeouts: 3, gapMs: 500 }, policy: { ackTimeoutMs: 6_000 } };

  async function timeOuts(bed: Bed, process: Process, rooms: readonly string[]): Promise<void> {
    await publishOneEach(process, rooms);
    for (const room of rooms) await bed.platform.sends.findLast((send) => send.room === room)?.accept();
    await bed.time.advance(6_000);
  }

  it('is declared after enough timeouts over enough time; the channel goes on with a gap; any ack ends it', async () => {
    const bed = new Bed({ channels: [channelOf(settings)] });
    const process = await bed.boot();
    await timeOuts(bed, process, ['a', 'b', 'c', 'd']);
    expect(conditionOf(process)).toEqual({ state: 'open' });
    await timeOuts(bed, process, ['e']);
    expect(conditionOf(process)).toEqual({ state: 'open' });
    await timeOuts(bed, process, ['f']);
    expect(conditionOf(process)).toEqual({ state: 'ack_outage', since: START + 18_000 });

    await process.publish('g', ['a', 'b']);
    await bed.platform.last.accept();
    await bed.time.advance(500);
    expect(bed.platform.log.slice(-2)).toEqual(['g/a', 'g/b']);
    // Late, for a message that has settled: acks are back.
    await process.ack(bed, 'a', 1);
    expect(conditionOf(process)).toEqual({ state: 'open' });
    await bed.platform.last.accept();
    await bed.time.advance(5_999);
    expect(await bed.outcomes('g')).toEqual(['assumed']);
    await bed.time.advance(1);
    expect(await bed.outcomes('g')).toEqual(['assumed', 'assumed']);
  });

  it('is no word on a channel that is stopped', async () => {
    const bed = new Bed({
      channels: [channelOf({ ...settings, ackOutage: { afterMs: 0, minTimeouts: 1, gapMs: 100 } })],
    });
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await bed.platform.last.accept();
    await process.publish('s', ['a']);
    await bed.platform.last.refuse({ scope: 'channel', retryAfterMs: 30_000, code: 'throttled' });
    await bed.time.advance(10_000);
    expect(await bed.outcomes('r')).toEqual(['assumed']);
    expect(conditionOf(process)).toMatchObject({ state: 'slowed', reason: 'throttled' });
  });

  it('is not declared while acks come in between', async () => {
    const bed = new Bed({ channels: [channelOf(settings)] });
    const process = await bed.boot();
    for (const room of ['a', 'b', 'c', 'd']) {
      await timeOuts(bed, process, [room]);
      if (room === 'b') await process.ack(bed, 'a', 1);
    }
    expect(conditionOf(process)).toEqual({ state: 'open' });
  });
});

describe('a channel’s condition', () => {
  it('outlives the process: its successor begins with a probe', async () => {
    const bed = new Bed();
    const first = await bed.boot();
    bed.platform.answers = () => REVOKED;
    await first.publish('r', ['a']);
    await first.engine.service.stop();
    const second = await bed.boot();
    expect(conditionOf(second)).toMatchObject({ state: 'stopped', reason: 'token_revoked' });
    await publishOneEach(second, ['s', 't']);
    await bed.time.advance(10);
    expect(bed.platform.sends).toHaveLength(2);
  });

  it('is decided in memory while the store is away', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    process.faults = ({ store }) => (store === 'channels' ? 'fail_before' : 'run');
    await process.publish('r', ['a']);
    await bed.platform.last.refuse({ scope: 'channel', permanent: true, code: 'http_401' });
    expect(conditionOf(process)).toMatchObject({ state: 'stopped' });
    await bed.time.advance(1_000);
    await bed.platform.last.accept();
    expect(conditionOf(process)).toEqual({ state: 'open' });
  });
});

describe('a channel alone', () => {
  function make(wishes: Parameters<typeof channelOf>[0] = {}) {
    const time = new SteppedTime();
    const settings: ChannelSettings = channelOf(wishes);
    const saved: ChannelCondition[] = [];
    const save: ChannelStore['save'] = async (_key, condition) => {
      saved.push(condition);
    };
    const channel = new Channel(settings, {
      clock: { now: () => time.now, monotonic: () => time.now, after: (ms, run) => time.after(ms, run) },
      store: { save } as ChannelStore,
      onStored: () => undefined,
      instruments: {
        log: { event: () => undefined, flush: () => undefined, writes: () => true },
        metrics: createMetrics({ version: 'test' }),
        telemetry: new Telemetry(),
        hash: recipientHasher('key'),
      },
    });
    return { time, channel, saved };
  }

  it('gives a permit past the queue only while nobody stands in it', async () => {
    const { channel } = make({ maxConcurrentSends: 1 });
    const first = channel.tryAcquire();
    expect(first).not.toBeNull();
    expect(channel.tryAcquire()).toBeNull();
    const granted: Permit[] = [];
    channel.request((permit) => granted.push(permit));
    first?.release();
    first?.release();
    expect(channel.tryAcquire()).toBeNull();
    await settled();
    expect(granted).toHaveLength(1);
    expect(channel.tryAcquire()).toBeNull();
    granted[0]?.release();
    await settled();
    expect(channel.tryAcquire()).not.toBeNull();
  });

  it('passes over those who left the queue', async () => {
    const { channel } = make({ maxConcurrentSends: 1 });
    const first = channel.tryAcquire();
    const granted: string[] = [];
    const leave = channel.request(() => granted.push('left'));
    channel.request(() => granted.push('stayed'));
    expect(channel.queued).toBe(2);
    leave();
    first?.release();
    await settled();
    expect(granted).toEqual(['stayed']);
    expect(channel.queued).toBe(0);
  });

  it('closed, grants nothing, empties its queue and sets no timer, whatever it still hears', async () => {
    const { channel, time } = make({ maxConcurrentSends: 1 });
    channel.report(REVOKED, 1, START);
    const granted: Permit[] = [];
    channel.request((permit) => granted.push(permit));
    await channel.close();
    channel.reportNack(nackOf({ scope: 'channel', permanent: true }));
    channel.reportSilent();
    await settled();
    expect(channel.tryAcquire()).toBeNull();
    expect(granted).toEqual([]);
    expect(channel.queued).toBe(0);
    expect(time.pending).toBe(0);
  });

  it('stores its last condition before its close has ended', async () => {
    const { channel, saved } = make();
    channel.report(REVOKED, 1, START);
    await channel.close();
    expect(saved.at(-1)).toMatchObject({ state: 'stopped', reason: 'token_revoked' });
  });

  it('waits, restored, for the time that the platform had asked for', async () => {
    const { channel, time } = make();
    channel.restore({ state: 'slowed', until: START + 3_000, reason: 'throttled' }, START);
    const granted: number[] = [];
    channel.request(() => granted.push(time.now - START));
    await time.advance(5_000);
    expect(granted).toEqual([3_000]);
    expect(channel.view).toMatchObject({ state: 'slowed', reason: 'throttled', until: START + 3_000 });
  });

  it('counts as silent only where nobody else was answered since', () => {
    const { channel, time } = make();
    channel.report(ACCEPTED, 1, START);
    expect(channel.answeredSince(time.now, 1)).toBe(false);
    expect(channel.answeredSince(time.now, 2)).toBe(true);
    expect(channel.answeredSince(time.now + 1, 2)).toBe(false);
    channel.report({ kind: 'refused', nack: nackOf() }, 2, START);
    expect(channel.answeredSince(time.now, 1)).toBe(true);
    channel.report(TIMED_OUT, 3, START);
    expect(channel.answeredSince(time.now, 2)).toBe(true);
  });

  it('hears statuses of many messages: an ack that means nothing to a room still shows that acks come', async () => {
    const bed = new Bed({ channels: [channelOf({ ackOutage: { afterMs: 0, minTimeouts: 1, gapMs: 100 } })] });
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await bed.platform.last.accept();
    await bed.time.advance(5_000);
    expect(conditionOf(process)).toMatchObject({ state: 'ack_outage' });
    const reference = process.references.encode(await bed.row('r'), 1);
    await process.engine.acks.receive(CHANNEL, [statusOf({ reference, level: 'accepted' })]);
    expect(conditionOf(process)).toEqual({ state: 'open' });
  });
});
