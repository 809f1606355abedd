import { describe, expect, it } from 'vitest';
import { fingerprintOf } from '../../src/engine/fingerprint.ts';
import type { RoomWrite, Stores } from '../../src/engine/ports.ts';
import type { Room } from '../../src/room/room.ts';
import { accepted, ack, deadline, nacked, operator, pause, refused, START, unknown } from '../support/rooms.ts';
import { claimBy, decide, unclaimed, World } from './world.ts';

const MAY_HAVE_HAPPENED = { facts: [], claims: false } as const;

export function describeCompareAndSet(stores: () => Stores): void {
  describe('compareAndSet', () => {
    it('stores the whole of a room', async () => {
      const world = new World(stores());
      const room = await world.roomWith(1);
      const attempt = { worker: 'w', generation: 3, begunAt: 5, endedAt: null, result: null, code: null };
      const next: Room = {
        ...room,
        version: 7,
        phase: 'sending',
        since: START + 1,
        gapUntil: START + 2,
        debtUntil: START + 7,
        paused: true,
        attempt: 2,
        spent: 1,
        level: 'sent',
        levelAt: START + 3,
        platformId: 'p"1\\',
        platformAt: START + 4,
        mark: 'skip',
        nack: { permanent: true, scope: 'room', retryAfterMs: 17, code: 'c', platformId: 'p' },
        firstClaimVersion: 4,
        attempts: [
          { ...attempt, number: 1, endedAt: 6, result: 'refused', code: '"quoted", {braced}' },
          { ...attempt, number: 2 },
        ],
      };
      await world.write({ expectedVersion: 0, next, ...MAY_HAVE_HAPPENED });

      const { envelopes: _, ...row } = next;
      expect((await world.stored()).row).toEqual(row);
    });

    it('stores deadlines, reasons and evidence of the phases that have them', async () => {
      const world = new World(stores());
      const room = await world.roomWith(1);
      const begun = { attempt: 1, firstClaimVersion: 1 };
      const states: Partial<Room>[] = [
        { phase: 'waiting', reason: 'not_before', until: START + 1 },
        { phase: 'held', reason: 'attempts_exhausted', until: null },
        { phase: 'unknown', reason: null, until: START + 2, bytesLeft: true, ...begun },
        { phase: 'idle', reason: null, until: null, bytesLeft: false, attempt: 0, firstClaimVersion: 0 },
      ];
      for (const [version, state] of states.entries()) {
        const next = { ...room, ...state, version: version + 1 };
        expect(await world.write({ expectedVersion: version, next, ...MAY_HAVE_HAPPENED })).toMatchObject({
          kind: 'committed',
        });
        expect((await world.stored()).row).toMatchObject({ ...state, version: version + 1 });
      }
    });

    it('never stores the tail that a writer believes in', async () => {
      const world = new World(stores());
      const write = decide(await world.roomWith(2), pause);
      const result = await world.write({ ...write, next: { ...write.next, tail: 99 } });

      expect(result).toEqual({ kind: 'committed', tail: 2, inbox: [] });
      expect((await world.stored()).row.tail).toBe(2);
    });

    it('refuses a write of an old version, and one of a room that is not there', async () => {
      const world = new World(stores());
      const room = await world.roomWith(1);
      await world.apply(room, null, pause);
      const before = await world.stored();

      expect(await world.write(decide(room, pause))).toEqual({ kind: 'conflict' });
      const nowhere = { ...room, id: room.id + 1_000_000 };
      expect(await world.write(decide(nowhere, pause))).toEqual({ kind: 'conflict' });
      const elsewhere = { ...before.row, envelopes: [], shard: room.shard + 1 };
      expect(await world.write({ expectedVersion: 1, next: elsewhere, ...MAY_HAVE_HAPPENED })).toEqual({
        kind: 'conflict',
      });
      expect(await world.stored()).toEqual(before);
    });

    it('answers each write of a batch for itself, in the order of the batch', async () => {
      const world = new World(stores());
      const one = await world.roomWith(1, 'one');
      const two = await world.roomWith(2, 'two');
      const three = await world.roomWith(3, 'three');
      await world.apply(two, null, pause);
      const writes = [decide(three, pause), decide(two, pause), decide(one, pause)];

      expect(await world.stores.rooms.compareAndSet(0, writes, null)).toEqual([
        { kind: 'committed', tail: 3, inbox: [] },
        { kind: 'conflict' },
        { kind: 'committed', tail: 1, inbox: [] },
      ]);
    });

    it('takes at most one write of a room in a batch', async () => {
      const world = new World(stores());
      const write = decide(await world.roomWith(1), pause);
      await expect(world.stores.rooms.compareAndSet(0, [write, write], null)).rejects.toThrow(/two writes/);
    });

    it('of nothing is nothing', async () => {
      expect(await stores().rooms.compareAndSet(0, [], null)).toEqual([]);
    });

    it('refuses rows that break an invariant, and the batch they are in', async () => {
      const world = new World(stores());
      const room = await world.roomWith(1, 'bad');
      const good = decide(await world.roomWith(1, 'good'), pause);
      const begun = { attempt: 1, firstClaimVersion: 1 };
      const impossible: Record<string, Partial<Room>> = {
        'I1 settled': { settled: -1 },
        'I1 spent': { spent: -1 },
        'I3 no reason': { phase: 'waiting', reason: null, until: 5 },
        'I3 a held reason while waiting': { phase: 'waiting', reason: 'refused' },
        'I3 a waiting reason while held': { phase: 'held', reason: 'limit' },
        'I3 a reason while ready': { phase: 'ready', reason: 'paused' },
        'I4 no deadline': { phase: 'awaiting_ack', ...begun },
        'I4 no end of a limit': { phase: 'waiting', reason: 'limit' },
        'I4 a deadline while ready': { phase: 'ready', until: 5 },
        'I4 a deadline while paused': { phase: 'waiting', reason: 'paused', until: 5 },
        'I5 nothing begun': { phase: 'sending' },
        'I6 a trace of a head': { phase: 'idle', level: 'sent' },
        'I6 a trace of an attempt': { phase: 'idle', ...begun },
        'I6 a platform id': { phase: 'idle', platformId: 'p' },
        'I7 a mark': { phase: 'ready', mark: 'skip' },
        'I7 a nack': {
          phase: 'ready',
          nack: { permanent: true, scope: 'room', retryAfterMs: null, code: 'c', platformId: null },
        },
        'I7 evidence': { phase: 'ready', bytesLeft: true },
        'I8 an attempt without a first claim': { phase: 'sending', attempt: 1 },
        'I8 a first claim without an attempt': { phase: 'ready', firstClaimVersion: 1 },
        'I11 paused and ready': { phase: 'ready', paused: true },
        'I11 paused and idle': { phase: 'idle', paused: true },
      };
      for (const [name, state] of Object.entries(impossible)) {
        const next = { ...room, phase: 'ready', version: 1, ...state } as Room;
        const write = { expectedVersion: 0, next, ...MAY_HAVE_HAPPENED };
        await expect(world.stores.rooms.compareAndSet(0, [good, write], null), name).rejects.toThrow();
      }
      expect((await world.stored('bad')).row.version).toBe(0);
      expect((await world.stored('good')).row.version).toBe(0);
    });
  });

  describe('facts of a write', () => {
    it('move a settled message to the history, with its room', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const claimed = await world.apply(await world.roomWith(2), proof, claimBy(proof));
      const settled = await world.apply(claimed, proof, accepted(1, 1, 'gw-1'), ack(1, 'delivered'), claimBy(proof));

      const { shard, id } = settled;
      const entry = await world.stores.history.readSettled({ shard, id }, 1);
      expect(entry).toEqual({
        address: { shard, id },
        key: world.key(),
        sequence: 1,
        messageId: 'm-1',
        body: entry?.body,
        acceptedAt: START,
        settledAt: START,
        outcome: 'acked',
        reason: 'ack',
        code: null,
        possiblyDelivered: false,
        level: 'delivered',
        levelAt: START,
        lateNackCode: null,
        platformId: 'gw-1',
        platformAt: null,
        attempts: [{ ...claimed.attempts[0], endedAt: START, result: 'accepted' }],
        firstClaimVersion: 1,
        settleVersion: 3,
        revision: 1,
      });
      expect(Buffer.from(entry?.body ?? []).toString()).toBe('{"to":"+1","content":"m-1"}');
      const after = await world.stored();
      expect(after.row).toMatchObject({ phase: 'sending', settled: 1, tail: 2, version: settled.version });
      expect(after.envelopes.map((envelope) => envelope.sequence)).toEqual([2]);
      const bodies = await world.stores.rooms.readBodies([
        { shard, id, sequence: 1 },
        { shard, id, sequence: 2 },
      ]);
      expect(bodies.map((body) => body !== null)).toEqual([false, true]);
    });

    it('settle several messages at once, and mark one that settles in the same write', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const claimed = await world.apply(await world.roomWith(4), proof, claimBy(proof));
      await world.apply(claimed, proof, operator('cancel', 2), operator('cancel', 3), ack(1));

      const { row, envelopes } = await world.stored();
      expect(row).toMatchObject({ settled: 3, tail: 4, phase: 'ready' });
      expect(envelopes.map((envelope) => envelope.sequence)).toEqual([4]);
      const outcomes = await Promise.all([1, 2, 3].map((sequence) => world.stores.history.readSettled(row, sequence)));
      expect(outcomes.map((entry) => entry?.outcome)).toEqual(['acked', 'cancelled', 'cancelled']);
      expect(outcomes[1]).toMatchObject({ attempts: [], firstClaimVersion: 0, level: 'none', levelAt: null });
    });

    it('mark a waiting message as cancelled', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const claimed = await world.apply(await world.roomWith(3), proof, claimBy(proof));
      await world.apply(claimed, proof, operator('cancel', 3), operator('superseded', 2));

      const { envelopes } = await world.stored();
      expect(envelopes.map((envelope) => envelope.cancelledBy)).toEqual([null, 'superseded', 'operator']);
      const waiting = await world.stores.history.readWaiting(claimed, 2);
      expect(waiting?.cancelledBy).toBe('superseded');
    });

    it('remember of two marks on one message the first, and settle it for that reason', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const claimed = await world.apply(await world.roomWith(2), proof, claimBy(proof));
      const marked = await world.apply(claimed, proof, operator('superseded', 2));
      // A process that has no envelope of it yet does not know of the mark.
      const blind = { ...marked, envelopes: marked.envelopes.slice(0, 1) };
      await world.apply(blind, proof, operator('cancel', 2));

      const [, second] = (await world.stored()).envelopes;
      expect(second?.cancelledBy).toBe('superseded');
      const settled = await world.apply(await world.read(), proof, ack(1));
      expect(await world.stores.history.readSettled(settled, 2)).toMatchObject({
        outcome: 'cancelled',
        reason: 'superseded',
        attempts: [],
        firstClaimVersion: 0,
      });
    });

    it('settle a superseded head that was never tried', async () => {
      const world = new World(stores());
      const settled = await world.apply(await world.roomWith(2), null, operator('superseded', 1));
      expect((await world.stored()).row).toMatchObject({ phase: 'ready', settled: 1, attempt: 0 });
      const entry = await world.stores.history.readSettled(settled, 1);
      expect(entry).toMatchObject({ outcome: 'cancelled', reason: 'superseded' });
    });

    it('bury a failed message under its own channel, whatever rooms share its shard', async () => {
      const world = new World(stores());
      const elsewhere = new World(world.stores, { shard: world.shard, channel: `${world.channel}-other` });
      const proof = await world.worker();
      for (const one of [world, elsewhere]) {
        const room = await one.apply(await one.roomWith(1), proof, claimBy(proof));
        await one.apply(room, proof, refused(1, { permanent: true, code: 'gone' }));
      }
      const letters = await world.stores.deadLetters.list(null, 2);
      expect(letters.map(({ channel }) => channel)).toEqual([elsewhere.channel, world.channel]);
    });

    it('answer an acceptance for which nothing waits without an ack', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const claimed = await world.apply(await world.roomWith(1), proof, claimBy(proof));
      expect(await world.write(decide(claimed, accepted(1)))).toEqual({ kind: 'committed', tail: 1, inbox: [] });
    });

    it('mark a message of their own room, whatever rooms share its shard', async () => {
      const world = new World(stores());
      await world.roomWith(2, 'first');
      await world.apply(await world.roomWith(2, 'second'), null, operator('cancel', 2));
      const marks = async (room: string) => (await world.stored(room)).envelopes.map(({ cancelledBy }) => cancelledBy);
      expect(await marks('second')).toEqual([null, 'operator']);
      expect(await marks('first')).toEqual([null, null]);
    });

    it('make a dead letter of a failed message', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const claimed = await world.apply(await world.roomWith(1), proof, claimBy(proof));
      const nack = { permanent: true, code: 'no_such_number', textDigest: 'c0ffee' };
      await world.apply(claimed, proof, refused(1, nack));

      const [letter] = await world.stores.deadLetters.list(null, 1);
      const { shard, id } = claimed;
      expect(letter).toEqual({
        id: letter?.id,
        at: START,
        kind: 'message',
        reason: 'refused',
        tenant: 'default',
        channel: world.channel,
        address: { shard, id },
        sequence: 1,
        detail: 'no_such_number',
        fingerprint: fingerprintOf(world.key(), { kind: 'refused', ...nack }),
      });
    });

    it('never lose a message: one that is not there cannot settle', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const claimed = await world.apply(await world.roomWith(1), proof, claimBy(proof));
      const settle = decide(claimed, ack(1));
      const wrong: RoomWrite = { ...settle, facts: settle.facts.map((fact) => ({ ...fact, sequence: 9 })) };

      await expect(world.write(wrong, proof)).rejects.toThrow();
    });

    it('of a write that is refused come to nothing', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const claimed = await world.apply(await world.roomWith(2), proof, claimBy(proof));
      const stale = decide(claimed, accepted(1, 1, 'gw-stale'), operator('cancel', 2), ack(1));
      await world.apply(claimed, proof, pause);

      expect(await world.write(stale, proof)).toEqual({ kind: 'conflict' });
      expect(await world.stores.history.readSettled(claimed, 1)).toBeNull();
      expect((await world.stored()).envelopes.map((envelope) => envelope.cancelledBy)).toEqual([null, null]);
      const about = { platformId: 'gw-stale', level: 'sent', nack: null, at: START } as const;
      expect(await world.stores.inbox.matchOrKeep(world.key(), [about], START)).toEqual([{ kind: 'kept' }]);
    });

    it('bring the acks that waited for a platform id they name', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const claimed = await world.apply(await world.roomWith(1), proof, claimBy(proof));
      const ackOfIt = { platformId: 'gw-1', level: 'delivered', nack: null, at: START + 9 } as const;
      await world.stores.inbox.matchOrKeep(world.key(), [ackOfIt], START);

      const write = decide(claimed, accepted(1, 1, 'gw-1'));
      expect(await world.write(write, proof)).toEqual({ kind: 'committed', tail: 1, inbox: [ackOfIt] });
    });

    it('give a platform id to the first message that has it', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const claimed = await Promise.all(
        ['one', 'two', 'three'].map(async (name) => world.apply(await world.roomWith(1, name), proof, claimBy(proof))),
      );
      const [one, two, three] = claimed.map((room) => decide(room, accepted(1, 1, 'gw-same'))) as [
        RoomWrite,
        RoomWrite,
        RoomWrite,
      ];
      const both = await world.stores.rooms.compareAndSet(0, [one, two], proof);
      expect(both.map((result) => result.kind)).toEqual(['committed', 'committed']);
      expect(await world.write(three, proof)).toMatchObject({ kind: 'committed', inbox: [] });

      const about = { platformId: 'gw-same', level: 'sent', nack: null, at: START } as const;
      const { shard, id } = one.next;
      expect(await world.stores.inbox.matchOrKeep(world.key(), [about], START)).toEqual([
        { kind: 'matched', address: { shard, id }, sequence: 1 },
      ]);
    });

    it('carry what an unknown outcome and a nack in flight leave behind', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const claimed = await world.apply(await world.roomWith(1), proof, claimBy(proof));
      const marked = await world.apply(claimed, proof, nacked(1, { code: 'late' }, 'gw-9'), operator('skip', 1));
      expect((await world.stored()).row).toMatchObject({ mark: 'skip', nack: { code: 'late', platformId: 'gw-9' } });
      await world.apply(marked, proof, unknown(1));

      const entry = await world.stores.history.readSettled(claimed, 1);
      expect(entry).toMatchObject({ outcome: 'skipped', reason: 'operator', code: 'timeout', possiblyDelivered: true });
    });

    it('settle as assumed at the deadline', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const claimed = await world.apply(
        await world.roomWith(1, 'room', { ackTimeoutMs: 0 }),
        proof,
        claimBy(proof),
        accepted(1),
      );
      await world.apply(claimed, null, deadline());

      const entry = await world.stores.history.readSettled(claimed, 1);
      expect(entry).toMatchObject({ outcome: 'assumed', reason: 'ack_timeout', possiblyDelivered: true });
    });
  });

  describe('claims', () => {
    it('need the proof of a worker that is known, open and of this generation', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const write = decide(await world.roomWith(1), claimBy(proof));

      expect(await world.write(write, null)).toEqual({ kind: 'fenced' });
      expect(await world.write(write, { worker: 'nobody', generation: 1 })).toEqual({ kind: 'fenced' });
      expect(await world.write(write, { ...proof, generation: proof.generation + 1 })).toEqual({ kind: 'fenced' });
      expect((await world.stored()).row.version).toBe(0);
      expect(await world.write(write, proof)).toMatchObject({ kind: 'committed' });
    });

    it('are refused to a worker that was fenced, and after a rise of the generation', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const write = decide(await world.roomWith(1), claimBy(proof));
      const generation = await world.stores.ownership.raiseGeneration(proof.worker);

      expect(await world.write(write, proof)).toEqual({ kind: 'fenced' });
      await world.stores.ownership.release(proof.worker);
      expect(await world.write(write, { ...proof, generation })).toEqual({ kind: 'fenced' });
    });

    it('that are refused leave the settles of their batch alone', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const open = await world.apply(await world.roomWith(1, 'open'), proof, claimBy(proof));
      const claim = decide(await world.roomWith(1, 'ready'), claimBy(proof));
      await world.stores.ownership.raiseGeneration(proof.worker);

      const results = await world.stores.rooms.compareAndSet(0, [claim, decide(open, ack(1))], proof);
      expect(results).toEqual([{ kind: 'fenced' }, { kind: 'committed', tail: 1, inbox: [] }]);
      expect((await world.stores.history.readSettled(open, 1))?.outcome).toBe('acked');
    });

    it('are the only writes that need a proof', async () => {
      const world = new World(stores());
      const write = unclaimed(decide(await world.roomWith(1), pause));
      expect(await world.write(write, { worker: 'nobody', generation: 7 })).toMatchObject({ kind: 'committed' });
    });
  });
}
