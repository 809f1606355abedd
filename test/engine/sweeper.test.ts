import { describe, expect, it } from 'vitest';
import { shardOf } from '../../src/room/shard.ts';
import { Bed, CHANNEL, channelOf, messageOf, type Process, SHARDS, settled } from '../support/engine.ts';
import { SignalBus } from '../support/signals.ts';

describe('the sweeper', () => {
  it('finds a room whose signal was lost: another process appended to it', async () => {
    const bed = new Bed();
    await bed.boot();
    const other = await bed.boot({ roles: ['api', 'webhook'] });
    await other.publish('r', ['a']);
    expect(bed.platform.sends).toEqual([]);
    await bed.time.advance(5_000);
    expect(bed.platform.log).toEqual(['r/a']);
  });

  it('finds messages behind those that its process knows of', async () => {
    const bed = new Bed({ channels: [channelOf({ policy: { unlockedBy: 'accepted' } })] });
    const holder = await bed.boot();
    const other = await bed.boot({ roles: ['api', 'webhook'] });
    await holder.publish('r', ['a']);
    await other.publish('r', ['b']);
    await bed.platform.last.accept();
    // The answer’s own write brings the raised tail along.
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    await other.publish('r', ['c']);
    await bed.time.advance(5_000);
    await bed.platform.last.accept();
    expect(bed.platform.log).toEqual(['r/a', 'r/b', 'r/c']);
  });

  it('finds a room past its deadline that is in nobody’s memory', async () => {
    const bed = new Bed();
    const holder = await bed.boot();
    const other = await bed.boot({ roles: ['api', 'webhook'] });
    await other.publish('r', ['a'], { notBefore: bed.time.now + 12_000 });
    await bed.time.advance(11_999);
    expect(bed.platform.sends).toEqual([]);
    await bed.time.advance(1);
    expect(bed.platform.log).toEqual(['r/a']);
    expect(holder.failures).toEqual([]);
  });

  it('goes on after a scan that failed', async () => {
    const bed = new Bed();
    const holder = await bed.boot();
    const other = await bed.boot({ roles: ['api', 'webhook'] });
    await other.publish('r', ['a']);
    const lost = ['scan', 'sweep', 'changedSince'];
    holder.faults = ({ method }) => (lost.includes(method) ? 'fail_before' : 'run');
    await bed.time.advance(6_000);
    expect(bed.platform.sends).toEqual([]);
    holder.faults = ({ method }) => (method === 'changedSince' ? 'fail_before' : 'run');
    await bed.time.advance(5_000);
    expect(bed.platform.log).toEqual(['r/a']);
  });

  it('comes so much more rarely as it takes longer, but never without end', async () => {
    const sweptAt = async (tookMs: number, forMs: number): Promise<number[]> => {
      const bed = new Bed();
      const process = await bed.boot();
      await bed.time.advance(5_000);
      process.faults = ({ method }) => (method === 'sweep' ? { action: 'run', beforeMs: tookMs } : 'run');
      const ended: number[] = [];
      process.instruments.telemetry.on('sweep.finished', () => ended.push(bed.time.now - tookMs));
      await bed.time.advance(forMs);
      return ended.slice(1).map((at, index) => at - (ended[index] as number));
    };
    expect(await sweptAt(200, 20_000)).toEqual([5_200, 5_200]);
    expect(await sweptAt(1_000, 60_000)).toEqual([20_000, 20_000]);
    expect(await sweptAt(10_000, 100_000)).toEqual([40_000, 40_000]);
  });

  it('comes again soon where it failed, however long that took', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    process.faults = ({ method }) => (method === 'sweep' ? { action: 'fail_before', beforeMs: 10_000 } : 'run');
    await bed.time.advance(15_000);
    process.regainStores();
    let swept = 0;
    process.instruments.telemetry.on('sweep.finished', () => swept++);
    await bed.time.advance(5_000);
    expect(swept).toBe(1);
  });

  it('counts no room that stands in a queue', async () => {
    const bed = new Bed({ channels: [channelOf({ maxConcurrentSends: 1 })] });
    const process = await bed.boot();
    await process.publish('open', ['a']);
    await process.publish('queued', ['a']);
    await bed.time.advance(12_000);
    expect(await process.gauge('livenessViolations')).toBe(0);
    await bed.platform.last.accept();
    expect(bed.platform.log).toEqual(['open/a', 'queued/a']);
  });

  it('counts a claimable room that two sweeps found unattended (R6)', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    // A claim may yet commit, and the generation that would refuse it cannot rise: nothing can be claimed.
    process.faults = ({ method }) => {
      if (method === 'raiseGeneration') return 'fail_before';
      return method === 'compareAndSet' ? 'run_then_fail' : 'run';
    };
    await process.publish('unknown', ['a']);
    await process.publish('unattended', ['a']);
    await bed.time.advance(5_000);
    expect(await process.gauge('livenessViolations')).toBe(0);
    await bed.time.advance(5_000);
    expect(await process.gauge('livenessViolations')).toBe(1);
    process.regainStores();
    await bed.time.advance(10_000);
    expect(bed.platform.log).toContain('unattended/a');
    await settled();
    expect(await process.gauge('livenessViolations')).toBe(0);
  });

  it('takes a room that one sweep brings twice, because its row moved meanwhile, for no other than once', async () => {
    const bed = new Bed();
    const { rooms } = bed.stores;
    const sweep = rooms.sweep.bind(rooms);
    rooms.sweep = async (...asked) => {
      const page = await sweep(...asked);
      return { ...page, rooms: [...page.rooms, ...page.rooms] };
    };
    const process = await bed.boot();
    process.faults = ({ method }) => {
      if (method === 'raiseGeneration') return 'fail_before';
      return method === 'compareAndSet' ? 'run_then_fail' : 'run';
    };
    await process.publish('unknown', ['a']);
    await process.publish('unattended', ['a']);
    await bed.time.advance(5_000);
    expect(await process.gauge('livenessViolations')).toBe(0);
    await bed.time.advance(5_000);
    expect(await process.gauge('livenessViolations')).toBe(1);
  });

  it('takes no room for unattended whose holder cannot trust its lease: it is renewed, or another has the room', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    process.faults = ({ method }) => (method === 'renew' ? 'fail_before' : 'run');
    await bed.time.advance(6_000);
    await process.publish('r', ['a']);
    await bed.time.advance(12_000);
    expect(bed.platform.sends).toEqual([]);
    expect(await process.gauge('livenessViolations')).toBe(0);
    process.regainStores();
    await bed.time.advance(10_000);
    expect(bed.platform.log).toEqual(['r/a']);
  });

  it('takes no room for unattended that waits for the successor of a process that ends', async () => {
    const bed = new Bed({ settings: { sweepEveryMs: 1_000 } });
    const process = await bed.boot();
    await process.publish('open', ['a', 'b']);
    const stopped = process.engine.service.stop();
    const other = await bed.boot();
    await other.publish('later', ['a']);
    // The open request keeps the process for as long as it may take.
    await bed.time.advance(4_500);
    expect(await process.gauge('livenessViolations')).toBe(0);
    await bed.platform.last.accept();
    await bed.time.advance(1_000);
    await stopped;
    await bed.time.advance(3_000);
    expect(bed.platform.log).toEqual(['open/a', 'later/a']);
  });

  it('tells how many rooms wait for a permit whenever the metrics are asked for, not only when it sweeps', async () => {
    const bed = new Bed({ channels: [channelOf({ maxConcurrentSends: 1 })] });
    const process = await bed.boot();
    for (const room of ['open', 'first', 'second']) await process.publish(room, ['a']);
    expect(await process.instruments.metrics.render()).toMatch(/roomline_permit_queue\{channel="[^"]+"\} 2\n/);
    expect(await process.instruments.metrics.render()).toContain('roomline_rooms_active 3\n');
  });

  it('takes no room of a channel that is not configured for unattended', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    const key = { tenant: 'default', channel: 'gone', room: 'r' };
    await process.engine.intake.accept(messageOf('r', 'a', { key }));
    await bed.time.advance(16_000);
    expect(await process.gauge('livenessViolations')).toBe(0);
    expect(bed.platform.sends).toEqual([]);
    expect(await bed.row('r', key)).toMatchObject({ phase: 'idle', tail: 1 });
  });
});

describe('shards that have just become ours', () => {
  interface Leaving {
    readonly bed: Bed;
    readonly first: Process;
    readonly second: Process;
    readonly outside: Process;
    /** In a shard of the first one's. */
    readonly room: string;
  }

  /** Two workers that hold half each, and a process that holds nothing, a while after a sweep. */
  async function together(bus: SignalBus | null): Promise<Leaving> {
    const bed = new Bed({ signals: bus });
    const first = await bed.boot();
    const second = await bed.boot();
    const outside = await bed.boot({ roles: ['api', 'webhook'] });
    await bed.time.until(() => second.engine.ownership.shards.size === SHARDS / 2);
    const names = Array.from({ length: 100 }, (_, n) => `room-${n}`);
    const room = names.find((name) => first.engine.ownership.shards.has(shardOf({ ...CHANNEL, room: name }, SHARDS)));
    const sweeps = (): number => second.calls.filter(({ method }) => method === 'sweep').length;
    const before = sweeps();
    await bed.time.until(() => sweeps() > before, 10_000);
    await bed.time.advance(500);
    second.calls.length = 0;
    // Answers come late: what is written meanwhile is not among them.
    second.faults = ({ method }) => (method === 'scan' ? { action: 'run', afterMs: 300 } : 'run');
    return { bed, first, second, outside, room: room as string };
  }

  /** The first one is told to go. */
  async function leaving(bus: SignalBus | null): Promise<Leaving> {
    const all = await together(bus);
    void all.first.engine.service.stop();
    return all;
  }

  it.each([
    ['while signals are live', true],
    ['while they are not', false],
    ['where there are none', null],
  ])(
    'what was written while their rooms were read is found at once though no signal told of it, %s',
    async (_, live) => {
      const bus = live === null ? null : new SignalBus();
      const { bed, second, outside, room } = await leaving(bus);
      if (bus !== null) {
        bus.copies = ({ kind }) => (kind === 'room' ? 0 : 1);
        await bed.time.until(() => second.engine.ownership.shards.size === SHARDS);
        bus.live = live === true;
      } else await bed.time.until(() => second.engine.ownership.shards.size === SHARDS);
      await outside.publish(room, ['a']);
      expect(bed.platform.sends).toEqual([]);
      await bed.time.advance(700);
      expect(bed.platform.log).toEqual([`${room}/a`]);
    },
  );

  it('are looked at by themselves, and the others not for their sake', async () => {
    const { bed, second } = await leaving(new SignalBus());
    await bed.time.until(() => second.engine.ownership.shards.size === SHARDS);
    await bed.time.advance(1_000);
    const looks = second.calls.filter(({ method }) => method === 'changedSince').map(({ args }) => args[0] as number[]);
    expect(looks.map(({ length }) => length)).toEqual([0, SHARDS / 2]);
  });

  it('are left out of what is looked at for other reasons while they are read', async () => {
    const bus = new SignalBus();
    const { bed, second } = await leaving(bus);
    const others = [...second.engine.ownership.shards];
    await bed.time.until(() => second.engine.ownership.shards.size === SHARDS);
    bus.deliver({ kind: 'missed' });
    await bed.time.advance(100);
    const looks = second.calls.filter(({ method }) => method === 'changedSince').map(({ args }) => args[0] as number[]);
    expect(looks).toEqual([[], others]);
  });

  it('are looked at once more where signals could not be expected yet at their own look', async () => {
    const bus = new SignalBus();
    const { bed, second, outside, room } = await leaving(bus);
    bus.copies = ({ kind }) => (kind === 'room' ? 0 : 1);
    let looked = false;
    second.faults = ({ method, args }) => {
      if (method === 'scan') bus.live = false;
      if (method === 'changedSince' && (args[0] as number[]).length === SHARDS / 2) looked = bus.live = true;
      return 'run';
    };
    await bed.time.until(() => looked, 3_000);
    await settled();
    await outside.publish(room, ['a']);
    expect(bed.platform.sends).toEqual([]);
    await bed.time.advance(500);
    expect(bed.platform.log).toEqual([`${room}/a`]);
  });

  it('are looked at again as from before, though a look that knew nothing of them ended later', async () => {
    const bus = new SignalBus();
    const { bed, first, second, outside, room } = await together(bus);
    let slow = true;
    second.faults = ({ method }) => {
      if (method !== 'changedSince' || !slow) return 'run';
      slow = false;
      return { action: 'run', beforeMs: 1_000 };
    };
    bus.deliver({ kind: 'missed' });
    await settled();
    expect(slow).toBe(false);
    void first.engine.service.stop();
    await bed.time.until(() => second.engine.ownership.shards.size === SHARDS);
    await settled();
    bus.copies = ({ kind }) => (kind === 'room' ? 0 : 1);
    await outside.publish(room, ['a']);
    bus.lapses++;
    await bed.time.advance(1_500);
    expect(bed.platform.log).toEqual([`${room}/a`]);
  });

  it('that could not be read are looked at as soon as the store answers', async () => {
    const { bed, second, outside, room } = await leaving(new SignalBus());
    second.faults = ({ method }) => (method === 'scan' ? 'fail_before' : 'run');
    await outside.publish(room, ['a']);
    await bed.time.until(() => second.engine.ownership.shards.size === SHARDS);
    await bed.time.advance(500);
    expect(bed.platform.log).toEqual([`${room}/a`]);
  });
});
