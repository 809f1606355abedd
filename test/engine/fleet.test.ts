/** Several workers: who comes and goes, and how shards change hands under load, in whole engines. */
import { describe, expect, it } from 'vitest';
import { shardOf } from '../../src/room/shard.ts';
import { Bed, CHANNEL, channelOf, type Process, SHARDS, START, settled } from '../support/engine.ts';

const HALF = SHARDS / 2;

const shardOfRoom = (room: string): number => shardOf({ ...CHANNEL, room }, SHARDS);

/** Names of rooms in the shards that `process` holds, or leaves. */
function roomsOf(process: Process, count: number): string[] {
  const names: string[] = [];
  for (let n = 0; names.length < count; n++) {
    if (process.engine.ownership.shards.has(shardOfRoom(`room-${n}`))) names.push(`room-${n}`);
  }
  return names;
}

async function twoWorkers(bed: Bed): Promise<{ first: Process; second: Process }> {
  const first = await bed.boot();
  const second = await bed.boot();
  await bed.time.until(() => second.engine.ownership.shards.size === HALF);
  return { first, second };
}

function ownersOverlap(processes: readonly Process[]): number[] {
  const all = processes.flatMap(({ engine }) => [...engine.ownership.shards]);
  return all.filter((shard, index) => all.indexOf(shard) !== index);
}

/** Who has each shard, and who is to have it, as the store says. */
async function sharesOf(bed: Bed): Promise<{ owners: Map<number, string | null>; heirs: Map<number, string | null> }> {
  const { shards } = await bed.stores.ownership.view();
  return {
    owners: new Map(shards.map(({ owner }, shard) => [shard, owner])),
    heirs: new Map(shards.map(({ heir }, shard) => [shard, heir])),
  };
}

describe('a worker that joins', () => {
  it('is given its part, each shard by the one who held it', async () => {
    const bed = new Bed();
    const { first, second } = await twoWorkers(bed);
    expect(first.engine.ownership.shards.size).toBe(HALF);
    expect(ownersOverlap([first, second])).toEqual([]);
    expect(first.logged.find(({ event }) => event === 'ownership.handed_over')?.fields).toMatchObject({ shards: HALF });
    expect(bed.time.now - START).toBeLessThanOrEqual(2_500);
  });

  it('sends what its shards’ rooms have to send, and the rest is sent where it was', async () => {
    const bed = new Bed();
    const { first, second } = await twoWorkers(bed);
    const [here] = roomsOf(first, 1) as [string];
    const [there] = roomsOf(second, 1) as [string];
    await first.publish(here, ['a']);
    await second.publish(there, ['a']);
    const workers = bed.platform.sends.map(({ room, request }) => [room, request.worker]);
    expect(workers).toEqual([
      [here, 'worker-1.1'],
      [there, 'worker-2.1'],
    ]);
  });

  it('gets a shard only when its open send is answered and stored, and goes on with the next message', async () => {
    const bed = new Bed();
    const first = await bed.boot();
    const rooms = Array.from({ length: 12 }, (_, n) => `room-${n}`);
    for (const room of rooms) await first.publish(room, ['a', 'b']);
    expect(bed.platform.sends).toHaveLength(12);
    const second = await bed.boot();
    await bed.time.advance(2_500);
    const busy = new Set(rooms.map((room) => shardOfRoom(room)));
    expect([...second.engine.ownership.shards].filter((shard) => busy.has(shard))).toEqual([]);

    for (const send of [...bed.platform.sends]) await send.accept();
    await bed.time.advance(300);
    expect(second.engine.ownership.shards.size).toBe(HALF);
    expect(ownersOverlap([first, second])).toEqual([]);
    for (const room of rooms) await first.ack(bed, room, 1);
    await bed.time.advance(6_000);
    const nexts = bed.platform.sends.filter(({ messageId }) => messageId === 'b');
    expect(nexts.map(({ room }) => room).sort()).toEqual([...rooms].sort());
    for (const { room, request } of nexts) {
      const holder = second.engine.ownership.shards.has(shardOfRoom(room)) ? 'worker-2.1' : 'worker-1.1';
      expect(request.worker).toBe(holder);
      expect(request.attempt).toBe(1);
    }
  });

  it('is given its part although the holder has not read its rooms yet, however long that takes', async () => {
    const bed = new Bed();
    const first = bed.process();
    first.faults = ({ method }) => (method === 'scan' ? { action: 'run', afterMs: 25_000 } : 'run');
    const starting = first.engine.service.start();
    await bed.time.advance(100);
    const second = await bed.boot();
    await bed.time.advance(3_000);
    expect(second.engine.ownership.shards.size).toBe(HALF);
    await bed.time.advance(30_000);
    await starting;
    expect(first.engine.ownership.worker).toBe('worker-1.1');
  });

  it('is not kept waiting for ever: a holder whose send does not end in time is taken over as a whole', async () => {
    const bed = new Bed({ channels: [channelOf({ sendTimeoutMs: 3_000 })] });
    const first = await bed.boot();
    const rooms = Array.from({ length: 12 }, (_, n) => `room-${n}`);
    for (const room of rooms) await first.publish(room, ['a']);
    const second = await bed.boot();
    await bed.time.until(() => second.engine.ownership.shards.size > 0, 30_000);
    expect(first.logged.some(({ event }) => event === 'ownership.lost')).toBe(true);
    expect(first.engine.ownership.worker).not.toBe('worker-1.1');
  });
});

describe('a worker that leaves', () => {
  it('hands every shard over before it ends: nothing waits for a lease', async () => {
    const bed = new Bed();
    const { first, second } = await twoWorkers(bed);
    const rooms = roomsOf(second, 3);
    for (const room of rooms) await second.publish(room, ['a', 'b']);
    for (const send of [...bed.platform.sends]) await send.accept();
    const stopping = second.engine.service.stop();
    const from = bed.time.now;
    await bed.time.until(() => first.engine.ownership.shards.size === SHARDS);
    expect(bed.time.now - from).toBeLessThanOrEqual(600);
    await stopping;
    for (const room of rooms) await first.ack(bed, room, 1);
    await settled();
    expect(
      bed.platform.sends.filter(({ messageId }) => messageId === 'b').map(({ request }) => request.worker),
    ).toEqual(rooms.map(() => 'worker-1.1'));
  });

  it('ends at once where nobody is left to take its shards', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await bed.boot({ roles: ['api'] });
    await bed.time.advance(2_000);
    const stopping = process.engine.service.stop();
    await bed.time.advance(300);
    await stopping;
    expect(bed.time.now - START).toBeLessThan(3_000);
  });

  it('and comes back under the same name leads to one more hand-over, and no room is sent for twice', async () => {
    const bed = new Bed();
    const { first, second } = await twoWorkers(bed);
    const rooms = Array.from({ length: 8 }, (_, n) => `room-${n}`);
    for (const room of rooms) await first.publish(room, ['a', 'b']);
    const stopping = second.engine.service.stop();
    for (const send of [...bed.platform.sends]) await send.accept();
    await bed.time.advance(1_000);
    await stopping;
    const third = await bed.boot();
    await bed.time.until(() => third.engine.ownership.shards.size === HALF);
    for (const room of rooms) await first.ack(bed, room, 1);
    await bed.time.advance(6_000);
    expect(bed.platform.sends).toHaveLength(16);
    expect(new Set(bed.platform.log).size).toBe(16);
  });
});

describe('a worker that dies', () => {
  it('is fenced and its shards go to those that live, those promised to it as well', async () => {
    const bed = new Bed();
    const { first, second } = await twoWorkers(bed);
    second.loseStores();
    await bed.time.until(() => first.engine.ownership.shards.size === SHARDS, 15_000);
    expect(bed.time.now - START).toBeLessThanOrEqual(2_500 + 10_000 + 500);
  });

  it('without having got what was promised leaves it with the holder, who goes on with it', async () => {
    const bed = new Bed();
    const first = await bed.boot();
    const rooms = Array.from({ length: 12 }, (_, n) => `room-${n}`);
    for (const room of rooms) await first.publish(room, ['a', 'b']);
    const second = await bed.boot();
    await bed.time.advance(2_200);
    second.loseStores();
    await bed.time.advance(1_000);
    // Its lease has not ended yet: what falls quiet now is given to it all the same, or kept until it is fenced.
    for (const send of [...bed.platform.sends]) await send.accept();
    await bed.time.advance(12_000);
    expect(first.engine.ownership.shards.size).toBe(SHARDS);
    await bed.time.advance(10_000);
    expect(bed.platform.sends.filter(({ messageId }) => messageId === 'b')).toHaveLength(12);
  });
});

describe('a hand-over', () => {
  it('of many shards goes by a few at a time: in the others the holder goes on meanwhile, and all have moved soon', async () => {
    const shards = 512;
    const bed = new Bed({ settings: { shards } });
    const first = await bed.boot();
    const second = bed.process();
    const handedOver = () => first.logged.filter(({ event }) => event === 'ownership.handed_over');
    void second.engine.service.start();
    await bed.time.until(() => handedOver().length === 1);
    const { owners, heirs } = await sharesOf(bed);
    expect([...owners.values()].filter((owner) => owner === 'worker-2.1')).toHaveLength(64);
    const [shard] = [...heirs].find(([, heir]) => heir === 'worker-2.1') as [number, string];
    expect(first.engine.ownership.isLeaving(shard)).toBe(false);
    await first.publish('r', ['a'], { shard });
    expect(bed.platform.sends.map(({ request }) => request.worker)).toEqual(['worker-1.1']);
    await bed.platform.last.accept();

    const from = bed.time.now;
    await bed.time.until(() => second.engine.ownership.shards.size === shards / 2);
    expect(bed.time.now - from).toBeLessThanOrEqual(500);
    expect(handedOver().map(({ fields }) => fields.shards)).toEqual([64, 64, 64, 64]);
    expect(ownersOverlap([first, second])).toEqual([]);
  });

  it('whose answer was lost is not taken back: the holder claims nothing there, whatever became of it', async () => {
    const bed = new Bed();
    const first = await bed.boot();
    first.failNext('ownership', 'handOver', 'run_then_fail');
    const second = await bed.boot();
    await bed.time.until(() => second.engine.ownership.shards.size === HALF);
    const [room] = roomsOf(second, 1) as [string];
    await first.publish(room, ['a']);
    await bed.time.advance(6_000);
    expect(bed.platform.sends.map(({ request }) => request.worker)).toEqual(['worker-2.1']);
    expect(first.engine.ownership.shards.size).toBe(HALF);
  });

  it('late take-over: a holder that has handed over does not interrupt what its heir sends', async () => {
    const bed = new Bed();
    const first = await bed.boot();
    // It is not told that its shards are gone for as long as this lasts, and goes on sweeping.
    first.faults = ({ method }) => (method === 'handOver' ? { action: 'run', afterMs: 4_000 } : 'run');
    const second = await bed.boot();
    await bed.time.until(() => second.engine.ownership.shards.size === HALF);
    const [room] = roomsOf(second, 1) as [string];
    await second.publish(room, ['a']);
    expect(bed.platform.sends).toHaveLength(1);
    for (let n = 0; n < 6; n++) {
      const row = await bed.row(room);
      first.engine.rooms.found({ row, envelopes: [] }, 'sweep');
      await bed.time.advance(500);
    }
    expect(await bed.row(room)).toMatchObject({ phase: 'sending', attempt: 1 });
    expect(bed.platform.sends).toHaveLength(1);
  });

  it('changes no order: messages published all the while go out once each, in order', async () => {
    const bed = new Bed({ channels: [channelOf({ policy: { unlockedBy: 'accepted' } })] });
    bed.platform.answers = () => ({ kind: 'accepted', platformId: null, platformAt: null, duplicate: false });
    const first = await bed.boot();
    const rooms = Array.from({ length: 6 }, (_, n) => `room-${n}`);
    const processes = [first];
    for (let n = 0; n < 8; n++) {
      for (const room of rooms) await first.publish(room, [`m${n}`]);
      if (n % 2 === 0) processes.push(await bed.boot());
      if (n === 5) void processes[2]?.engine.service.stop();
      await bed.time.advance(900);
    }
    await bed.time.advance(10_000);
    for (const room of rooms) {
      const sent = bed.platform.log.filter((line) => line.startsWith(`${room}/`));
      expect(sent).toEqual(Array.from({ length: 8 }, (_, n) => `${room}/m${n}`));
    }
  });
});
