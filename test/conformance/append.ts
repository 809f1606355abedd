import { describe, expect, it } from 'vitest';
import type { Stores } from '../../src/engine/ports.ts';
import type { RoomKey } from '../../src/room/room.ts';
import { transition } from '../../src/room/transition.ts';
import { ack, START } from '../support/rooms.ts';
import { claimBy, decide, World } from './world.ts';

export function describeAppend(stores: () => Stores): void {
  describe('append', () => {
    it('numbers messages from one, without gaps, in the order of the batch and per room', async () => {
      const world = new World(stores());
      const first = await world.append(
        world.message('a', { room: 'one' }),
        world.message('a', { room: 'two' }),
        world.message('b', { room: 'one' }),
      );
      const second = await world.append(world.message('c', { room: 'one' }), world.message('b', { room: 'two' }));

      expect(first.map((result) => [result.kind, result.sequence])).toEqual([
        ['appended', 1],
        ['appended', 1],
        ['appended', 2],
      ]);
      expect(second.map((result) => [result.kind, result.sequence])).toEqual([
        ['appended', 3],
        ['appended', 2],
      ]);
    });

    it('answers with the rows as the whole batch leaves them', async () => {
      const world = new World(stores());
      const [first, second] = await world.append(world.message('a'), world.message('b'));

      const { row } = await world.stored();
      expect(row).toMatchObject({
        key: world.key(),
        shard: world.shard,
        phase: 'idle',
        version: 0,
        settled: 0,
        tail: 2,
      });
      expect(first).toEqual({ kind: 'appended', row, sequence: 1 });
      expect(second).toEqual({ kind: 'appended', row, sequence: 2 });
    });

    it('keeps a message as it came', async () => {
      const world = new World(stores());
      const message = world.message('a', {
        body: Uint8Array.of(0, 255, 254, 92, 34, 10),
        notBefore: START + 10,
        expiresAt: START + 20,
        ackTimeoutMs: 30,
        failurePolicy: 'hold',
      });
      await world.append(message);

      const { row, envelopes } = await world.stored();
      const { messageId, acceptedAt, notBefore, expiresAt, ackTimeoutMs, failurePolicy } = message;
      const envelope = {
        sequence: 1,
        messageId,
        acceptedAt,
        notBefore,
        expiresAt,
        ackTimeoutMs,
        failurePolicy,
        cancelledBy: null,
      };
      expect(envelopes).toEqual([envelope]);
      const waiting = await world.stores.history.readWaiting(row, 1);
      expect(waiting).toEqual({
        ...envelope,
        address: { shard: row.shard, id: row.id },
        key: world.key(),
        body: waiting?.body,
      });
      expect([...(waiting?.body ?? [])]).toEqual([...message.body]);
    });

    it('takes any text as an id and as the name of a room', async () => {
      const world = new World(stores());
      const odd = ['NULL', '{a,b}', '"quoted"', 'back\\slash', "it's", ' ', 'ä🙂', 'a\nb', '%', '\\x00'];
      const results = await world.append(...odd.map((text) => world.message(text, { room: text })));

      expect(results.map((result) => result.kind)).toEqual(odd.map(() => 'appended'));
      for (const text of odd) {
        expect((await world.stored(text)).envelopes.map((envelope) => envelope.messageId)).toEqual([text]);
      }
      const again = await world.append(...odd.map((text) => world.message(text, { room: text })));
      expect(again.map((result) => result.kind)).toEqual(odd.map(() => 'duplicate'));
    });

    it('answers a repeated message with its first sequence and changes nothing', async () => {
      const world = new World(stores());
      await world.append(world.message('a'), world.message('b'));
      const before = await world.stored();
      const [again] = await world.append(world.message('b'));

      const { shard, id } = before.row;
      expect(again).toEqual({ kind: 'duplicate', address: { shard, id }, sequence: 2 });
      expect(await world.stored()).toEqual(before);
    });

    it('refuses another body under a known id', async () => {
      const world = new World(stores());
      await world.append(world.message('a'));
      const { shard, id } = (await world.stored()).row;
      const [other] = await world.append(world.message('a', { body: Buffer.from('other') }));

      expect(other).toEqual({ kind: 'conflict', address: { shard, id }, sequence: 1 });
    });

    it('sees repetitions within one batch, of new messages and of known ones', async () => {
      const world = new World(stores());
      await world.append(world.message('known'));
      const results = await world.append(
        world.message('new'),
        world.message('known', { body: Buffer.from('other') }),
        world.message('new'),
        world.message('known'),
        world.message('new', { body: Buffer.from('other') }),
        world.message('next'),
      );

      expect(results.map((result) => [result.kind, result.sequence])).toEqual([
        ['appended', 2],
        ['conflict', 1],
        ['duplicate', 2],
        ['duplicate', 1],
        ['conflict', 2],
        ['appended', 3],
      ]);
    });

    it('recognises the id of a message that has settled', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const room = await world.roomWith(2);
      await world.apply(room, proof, claimBy(proof), ack(1));
      const results = await world.append(world.message('m-1'), world.message('m-1', { body: Buffer.from('other') }));

      expect(results.map((result) => [result.kind, result.sequence])).toEqual([
        ['duplicate', 1],
        ['conflict', 1],
      ]);
    });

    it('recognises it although the clock it settled by was hours ahead of the database', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const ahead = Date.now() + 20 * 3_600_000;
      const message = world.message('m-1', { acceptedAt: ahead });
      await world.append(message);
      let room = await world.read();
      for (const event of [claimBy(proof), ack(1)]) {
        const { room: next, facts } = transition(room, event, ahead);
        const write = { expectedVersion: room.version, next, facts, claims: event.type === 'permit_granted' };
        expect(await world.write(write, proof)).toMatchObject({ kind: 'committed' });
        room = next;
      }
      expect(await world.append(message, { ...message, order: 1 })).toMatchObject([
        { kind: 'duplicate', sequence: 1 },
        { kind: 'duplicate', sequence: 1 },
      ]);
      expect(await world.append(message)).toMatchObject([{ kind: 'duplicate', sequence: 1 }]);
    });

    it('is no transition: version and phase stay as they are', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const claimed = await world.apply(await world.roomWith(1), proof, claimBy(proof));
      const [result] = await world.append(world.message('b'));

      expect(result).toMatchObject({ kind: 'appended', row: { phase: 'sending', version: claimed.version, tail: 2 } });
    });

    it('keeps rooms of one shard apart that share all of their key but one part', async () => {
      const world = new World(stores());
      const base = world.key();
      const keys: readonly RoomKey[] = [
        base,
        { ...base, tenant: 'other' },
        { ...base, channel: `${base.channel}-other` },
        { ...base, room: 'other' },
      ];
      const ids: number[] = [];
      for (const key of keys) {
        for (const messageId of ['one', 'two']) {
          const [result] = await world.append(world.message(messageId, { key }));
          if (result?.kind !== 'appended') throw new Error('it was not appended');
          expect(result.sequence).toBe(messageId === 'one' ? 1 : 2);
          expect(result.row.key).toEqual(key);
          ids.push(result.row.id);
        }
      }
      expect(new Set(ids).size).toBe(keys.length);
    });

    it('of nothing is nothing', async () => {
      expect(await stores().rooms.append([])).toEqual([]);
    });

    it('does not disturb a write that was decided before it: the write returns the raised tail', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const write = decide(await world.roomWith(1), claimBy(proof));
      await world.append(world.message('b'));

      expect(await world.write(write, proof)).toEqual({ kind: 'committed', tail: 2, inbox: [] });
      expect((await world.stored()).row).toMatchObject({ tail: 2, phase: 'sending' });
    });
  });
}
