/** What several workers must not do to one another's rooms while shards change hands: wake-ups, tokens and ghosts. */
import { describe, expect, it } from 'vitest';
import type { Signals } from '../../src/engine/ports.ts';
import { shardOf } from '../../src/room/shard.ts';
import { Bed, CHANNEL, channelOf, type Process, SHARDS, type SteppedTime, settled } from '../support/engine.ts';
import { SignalBus } from '../support/signals.ts';

const HALF = SHARDS / 2;
/** The sweep would find in the end what is missed here. */
const NO_SWEEP = { sweepEveryMs: 600_000 };

const shardOfRoom = (room: string): number => shardOf({ ...CHANNEL, room }, SHARDS);

function roomsIn(shards: ReadonlySet<number>, count: number): string[] {
  const names: string[] = [];
  for (let n = 0; names.length < count; n++) if (shards.has(shardOfRoom(`room-${n}`))) names.push(`room-${n}`);
  return names;
}

/** Whose next send is on its way, when all of its shards' sends are open. */
async function heirsOf(bed: Bed, holder: string): Promise<Set<number>> {
  const { shards } = await bed.stores.ownership.view();
  return new Set(shards.flatMap(({ owner, heir }, shard) => (owner === holder && heir !== null ? [shard] : [])));
}

/** Subscriptions take a moment, like those of a server elsewhere. */
class SlowBus extends SignalBus {
  readonly #time: () => SteppedTime;

  constructor(time: () => SteppedTime) {
    super();
    this.#time = time;
  }

  override port(): Signals {
    const port = super.port();
    let pending = 0;
    return {
      get live() {
        return port.live;
      },
      get lapses() {
        return port.lapses;
      },
      publish: (signal) => port.publish(signal),
      unfollow: (shards) => port.unfollow(shards),
      hears: (shards) => pending === 0 && port.hears(shards),
      listen: (listener) => port.listen(listener),
      follow: (shards) => {
        pending++;
        this.#time().after(20, () => {
          pending--;
          port.follow(shards);
        });
      },
    };
  }
}

describe('a shard that stays after all', () => {
  it('has its rooms stand in the queue again at once, not with the next sweep', async () => {
    const bed = new Bed({ channels: [channelOf({ maxConcurrentSends: 12 })], settings: NO_SWEEP });
    const first = await bed.boot();
    const rooms = Array.from({ length: 24 }, (_, n) => `room-${n}`);
    for (const room of rooms) await first.publish(room, ['a']);
    expect(bed.platform.sends).toHaveLength(12);
    await bed.boot();
    await bed.time.advance(2_300);
    const promised = await heirsOf(bed, 'worker-1.1');
    const waiting = rooms.slice(12).filter((room) => promised.has(shardOfRoom(room)));
    expect(waiting.length).toBeGreaterThan(0);

    await bed.stores.ownership.drain('worker-2.1');
    await bed.time.advance(700);
    expect(await heirsOf(bed, 'worker-1.1')).toEqual(new Set());
    bed.platform.answers = () => ({ kind: 'accepted', platformId: null, platformAt: null, duplicate: false });
    for (const send of bed.platform.sends.slice(0, 12)) await send.accept();
    await bed.time.advance(100);
    expect(bed.platform.sends.map(({ room }) => room).sort()).toEqual([...rooms].sort());
  });
});

describe('a shard that is about to leave', () => {
  it('takes no tokens from the rooms that stay', async () => {
    const limit = { perSecond: 1, burst: 1 };
    const bed = new Bed({ channels: [channelOf({ channelLimit: limit })], settings: NO_SWEEP });
    const first = await bed.boot();
    // One open send in each shard: none of them can be handed over.
    const [blockers, later] = [0, 1].map((nth) =>
      Array.from({ length: SHARDS }, (_, shard) => roomsIn(new Set([shard]), nth + 1)[nth] as string),
    ) as [string[], string[]];
    for (const room of blockers) await first.publish(room, ['a']);
    await bed.time.advance(4_000);
    expect(bed.platform.sends).toHaveLength(SHARDS);
    await bed.boot({ roles: ['worker'] });
    await bed.time.advance(2_300);
    const promised = await heirsOf(bed, 'worker-1.1');
    const leaves = later.filter((room) => promised.has(shardOfRoom(room)));
    const [stays] = later.filter((room) => !promised.has(shardOfRoom(room))) as [string];
    expect(leaves).toHaveLength(HALF);

    await bed.time.advance(1_000);
    for (const room of [...leaves, stays]) await first.publish(room, ['a']);
    await bed.time.advance(50);
    expect(bed.platform.sends.slice(SHARDS).map(({ room }) => room)).toEqual([stays]);
  });
});

describe('a holder that has handed over and does not know it yet', () => {
  async function limbo(bed: Bed): Promise<{ first: Process; second: Process }> {
    const first = await bed.boot();
    first.faults = ({ method }) => (method === 'handOver' ? { action: 'run', afterMs: 5_000 } : 'run');
    const second = await bed.boot();
    await bed.time.until(() => second.engine.ownership.shards.size === HALF);
    expect(first.engine.ownership.shards.size).toBe(SHARDS);
    return { first, second };
  }

  it('tells the heir of messages that it takes in', async () => {
    const bed = new Bed({ signals: new SignalBus(), settings: NO_SWEEP });
    const { first, second } = await limbo(bed);
    const [room] = roomsIn(second.engine.ownership.shards, 1) as [string];
    await first.publish(room, ['a']);
    await bed.time.advance(10);
    expect(bed.platform.sends.map(({ request }) => request.worker)).toEqual(['worker-2.1']);
  });

  it('tells the heir of acks that reach it', async () => {
    const bed = new Bed({ signals: new SignalBus(), settings: NO_SWEEP });
    const { first, second } = await limbo(bed);
    const [room] = roomsIn(second.engine.ownership.shards, 1) as [string];
    await second.publish(room, ['a', 'b']);
    await bed.platform.last.accept();
    await first.ack(bed, room, 1);
    await bed.time.advance(10);
    expect(bed.platform.sends.map(({ messageId, request }) => [messageId, request.worker])).toEqual([
      ['a', 'worker-2.1'],
      ['b', 'worker-2.1'],
    ]);
  });
});

describe('a worker that has just been given shards', () => {
  it('finds what came after its rooms were read and before it could be told', async () => {
    const bed: Bed = new Bed({ signals: new SlowBus(() => bed.time), settings: NO_SWEEP });
    const first = await bed.boot();
    await bed.time.advance(1_000);
    const second = await bed.boot();
    await bed.time.until(() => second.engine.ownership.shards.size === HALF);
    await settled();
    const [room] = roomsIn(second.engine.ownership.shards, 1) as [string];
    await first.publish(room, ['a']);
    await bed.time.advance(500);
    expect(bed.platform.sends.map(({ request }) => request.worker)).toEqual(['worker-2.1']);
  });

  it('finds it likewise where there are no signals', async () => {
    const bed = new Bed({ settings: { ...NO_SWEEP, pollEveryMs: 90 } });
    const first = await bed.boot();
    await bed.time.advance(1_000);
    const second = await bed.boot();
    await bed.time.until(() => second.engine.ownership.shards.size === HALF);
    await settled();
    const [room] = roomsIn(second.engine.ownership.shards, 1) as [string];
    await first.publish(room, ['a']);
    await bed.time.advance(500);
    expect(bed.platform.sends.map(({ request }) => request.worker)).toEqual(['worker-2.1']);
  });
});

describe('a life that could not begin', () => {
  const membersOf = async (bed: Bed): Promise<string[]> =>
    (await bed.stores.ownership.view()).members.map(({ worker }) => worker);

  it.each([
    { what: 'conditions could not be read', store: 'channels', method: 'load', action: 'fail_before' },
    { what: 'answer was lost', store: 'ownership', method: 'register', action: 'run_then_fail' },
  ] as const)('leaves no member behind that is given shards: its $what', async ({ store, method, action }) => {
    const bed = new Bed();
    await bed.boot();
    const second = bed.process();
    let failures = 3;
    second.faults = (call) => (call.store === store && call.method === method && failures-- > 0 ? action : 'run');
    await second.engine.service.start();
    await bed.time.until(() => second.engine.ownership.shards.size === HALF, 5_000);
    expect(await membersOf(bed)).toEqual(['worker-1.1', 'worker-2.4']);
  });
});
