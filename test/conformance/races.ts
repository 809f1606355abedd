/** Races, each named after the one who loses it. */
import { describe, expect, it } from 'vitest';
import type { RoomWrite, Stores, WriteResult } from '../../src/engine/ports.ts';
import { accepted, ack, deadline, pause, START } from '../support/rooms.ts';
import { claimBy, decide, LANES, unclaimed, World } from './world.ts';

const ROUNDS = 25;

export function describeRaces(stores: () => Stores): void {
  describe('races', () => {
    it('late appender: of batches that come at once each is numbered as a whole, without gaps', async () => {
      const world = new World(stores());
      const batches = Array.from({ length: 12 }, (_, batch) =>
        Array.from({ length: 6 }, (_, i) => world.message(`${batch}-${i}`, { room: `room-${(batch + i) % 3}` })),
      );
      const results = await Promise.all(batches.map((batch) => world.stores.rooms.append(batch)));

      for (const name of ['room-0', 'room-1', 'room-2']) {
        const given = results.map((batch, b) =>
          batch.filter((_, i) => batches[b]?.[i]?.key.room === name).map((result) => result.sequence),
        );
        expect(given.flat().sort((a, b) => (a ?? 0) - (b ?? 0))).toEqual(Array.from({ length: 24 }, (_, i) => i + 1));
        for (const batch of given) expect(batch).toEqual(batch.map((_, i) => (batch[0] ?? 0) + i));
        expect((await world.stored(name)).row.tail).toBe(24);
      }
    });

    it('late copy: one of two equal messages that come at once is a duplicate', async () => {
      const world = new World(stores());
      for (let round = 0; round < ROUNDS; round++) {
        const copies = [`a-${round}`, `a-${round}`].map((id) => world.append(world.message(id)));
        const kinds = (await Promise.all(copies)).map(([result]) => result?.kind);
        expect(kinds.sort()).toEqual(['appended', 'duplicate']);
      }
      expect((await world.stored()).row.tail).toBe(ROUNDS);
    });

    it('late writer: of two decisions from one version one is stored', async () => {
      const world = new World(stores());
      let room = await world.roomWith(1);
      for (let round = 0; round < ROUNDS; round++) {
        const write = unclaimed(decide({ ...room, paused: false, phase: 'ready', reason: null }, pause));
        const results = await Promise.all(Array.from({ length: LANES }, (_, lane) => world.write(write, null, lane)));
        expect(results.filter((result) => result.kind === 'committed')).toHaveLength(1);
        expect(results.every((result) => ['committed', 'conflict', 'busy'].includes(result.kind))).toBe(true);
        room = await world.read();
        expect(room.version).toBe(round + 1);
      }
    });

    it('late timeout: a message that is acked and timed out at once settles once', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      let room = await world.roomWith(ROUNDS, 'room', { ackTimeoutMs: 0 });
      for (let sequence = 1; sequence <= ROUNDS; sequence++) {
        room = await world.apply(room, proof, claimBy(proof), accepted(sequence, 1, null));
        const results = await Promise.all([
          world.write(decide(room, ack(sequence)), proof, 0),
          world.write(decide(room, deadline()), proof, 1),
        ]);
        expect(results.filter((result) => result.kind === 'committed')).toHaveLength(1);
        room = await world.read('room', { ackTimeoutMs: 0 });
        expect(room.settled).toBe(sequence);
      }
      const listed = await world.stores.history.listRoom(room, null, 100);
      expect(listed.map((one) => one.sequence)).toEqual(Array.from({ length: ROUNDS }, (_, i) => ROUNDS - i));
    });

    it('late acceptance, or late ack: whichever commits second sees the other', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      let room = await world.roomWith(ROUNDS);
      for (let sequence = 1; sequence <= ROUNDS; sequence++) {
        const platformId = `gw-${sequence}`;
        room = await world.apply(room, proof, claimBy(proof));
        const about = { platformId, level: 'delivered', nack: null, at: START } as const;
        const acceptance = decide(room, accepted(sequence, 1, platformId));
        const [written, [match]] = await Promise.all([
          world.write(acceptance, proof),
          world.stores.inbox.matchOrKeep(world.key(), [about], START),
        ]);
        const seenByAcceptance = written.kind === 'committed' && written.inbox.length === 1;
        expect([seenByAcceptance, match?.kind === 'matched']).toContain(true);
        await world.apply(acceptance.next, proof, ack(sequence));
        room = await world.read();
      }
    });

    it('late claim: one that comes with the fence is either seen by the heir or refused', async () => {
      const world = new World(stores());
      for (let round = 0; round < ROUNDS; round++) {
        const name = `room-${round}`;
        const proof = await world.worker(`${world.channel}-${round}`);
        const write = decide(await world.roomWith(1, name), claimBy(proof));
        const claiming = world.write(write, proof);
        await world.stores.ownership.release(proof.worker);
        const seen = await world.stored(name);
        const result = await claiming;

        expect(['committed', 'fenced']).toContain(result.kind);
        expect(seen.row.phase).toBe(result.kind === 'committed' ? 'sending' : 'idle');
      }
    });

    it('nobody: appends and writes of the same rooms go on beside each other', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const names = Array.from({ length: 20 }, (_, i) => `room-${i}`);
      await world.append(...names.map((room) => world.message('first', { room })));
      const rounds = Array.from({ length: 8 }, (_, round) => round);

      const appending = (async () => {
        for (const round of rounds) {
          const forwards = names.map((room) => world.message(`f-${round}`, { room }));
          const backwards = names.toReversed().map((room) => world.message(`b-${round}`, { room }));
          await Promise.all([world.append(...forwards), world.append(...backwards)]);
        }
      })();
      const writing = Promise.all(
        Array.from({ length: LANES }, async (_, lane) => {
          for (const round of rounds) {
            const ours = names.filter((_, i) => i % LANES === (lane + round) % LANES);
            await settleHeads(world, ours, proof, lane);
          }
        }),
      );
      await Promise.all([appending, writing]);

      for (const name of names) {
        const { row } = await world.stored(name);
        const listed = await world.stores.history.listRoom(row, null, 100);
        expect(row.tail).toBe(1 + 2 * rounds.length);
        expect(listed.map((one) => one.sequence)).toEqual(Array.from({ length: row.tail }, (_, i) => row.tail - i));
        expect(listed.filter((one) => 'outcome' in one)).toHaveLength(row.settled);
      }
    });
  });
}

/** Claims and settles the heads of these rooms, one batch, and again what was busy or had changed. */
async function settleHeads(
  world: World,
  names: readonly string[],
  proof: { worker: string; generation: number },
  lane: number,
): Promise<void> {
  let left = [...names];
  while (left.length > 0) {
    const rooms = await Promise.all(left.map((name) => world.read(name)));
    const writes: RoomWrite[] = rooms.flatMap((room) =>
      room.tail > room.settled ? [decide(room, claimBy(proof), ack(room.settled + 1))] : [],
    );
    const results: WriteResult[] = await world.stores.rooms.compareAndSet(lane, writes, proof);
    left = writes.filter((_, i) => results[i]?.kind !== 'committed').map((write) => write.next.key.room);
  }
}
