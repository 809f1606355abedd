/** Writers of a room in which a publisher's order has a gap: what closes it, what gives it up, and what knows nothing of it. */

import { ordered, told } from '../../../conformance/orders.ts';
import { claimBy, type World } from '../../../conformance/world.ts';
import { ack, pause } from '../../../support/rooms.ts';
import { appending, doing, write } from './acts.ts';
import type { Final } from './judge.ts';
import { awaiting, claimed, empty, type Play, resting } from './plays.ts';
import type { Part, Stop } from './stage.ts';

const ONLY_COMMIT: readonly Stop[] = ['commit'];

/** An append of messages with these numbers of their publisher's order. */
function inOrder(world: World, orders: readonly number[], stops: readonly Stop[] = ['insert', 'commit']): Part {
  return {
    stops,
    run: async (actor) => {
      const results = await actor.opened.stores.rooms.append(orders.map((order) => ordered(world, order)));
      // Since when the gap is there is the database's own time.
      return told(results);
    },
  };
}

function skipping(world: World, waitsFor: number, stops: readonly Stop[] = ['insert', 'commit']): Part {
  return doing(async (actor) => {
    const { shard, id } = (await world.stored()).row;
    const [skipped] = await actor.opened.stores.rooms.skipGaps([{ shard, id, waitsFor }]);
    return { tail: skipped?.tail, waitsFor: skipped?.gap?.waitsFor ?? null, skipped: skipped?.skipped ?? null };
  }, stops);
}

/** A room in which the first message is missing and the second parked. */
async function withGap(world: World): Promise<void> {
  await world.append(ordered(world, 2));
}

type RoomOfPlay = Final['rooms'][number] & { readonly next_order: number };
const room = (final: Final) => final.rooms[0] as RoomOfPlay;
const ids = (final: Final) => final.messages.map(({ message_id }) => message_id).join(' ');

export const ORDER_PLAYS: readonly Play[] = [
  {
    name: 'late skip, or late message: the gap is closed once',
    prepare: async (world) => {
      await withGap(world);
      return [inOrder(world, [1]), skipping(world, 1)];
    },
    holds: (final) => ['o-1 o-2', 'o-2 o-1'].includes(ids(final)) && !room(final).waits,
  },
  {
    name: 'late message: two that close two gaps of a run',
    prepare: async (world) => {
      await world.append(ordered(world, 2), ordered(world, 4));
      return [inOrder(world, [3]), inOrder(world, [1])];
    },
    holds: (final) => ids(final) === 'o-1 o-2 o-3 o-4' && room(final).next_order === 5,
  },
  {
    name: 'late copy: of a message that is parked just then it is known',
    prepare: async (world) => {
      await world.roomWith(1);
      return [inOrder(world, [2]), inOrder(world, [2, 1])];
    },
    holds: (final) => ids(final) === 'm-1 o-1 o-2',
  },
  {
    name: 'late skip: of two one gives the numbers up',
    prepare: async (world) => {
      await world.append(ordered(world, 3), ordered(world, 5));
      return [skipping(world, 1), skipping(world, 1)];
    },
    holds: (final) => ids(final) === 'o-3' && room(final).next_order === 4 && room(final).waits,
  },
  {
    name: 'late skip: of the next gap, while what closes it comes',
    prepare: async (world) => {
      await world.append(ordered(world, 2), ordered(world, 4));
      return [skipping(world, 1), inOrder(world, [3, 1])];
    },
    holds: (final) => final.messages.length === 4 && !room(final).waits,
  },
  {
    name: 'late rest: a room in which something is parked just then stays',
    prepare: async (world) => {
      await empty(world);
      return [resting(world), inOrder(world, [2])];
    },
    holds: (final) => !room(final).resting && room(final).waits,
  },
  {
    name: 'late append: a room taken back from rest goes on with its order',
    prepare: async (world, { opened }) => {
      const proof = await world.worker(`worker-${world.channel}`);
      await world.append(ordered(world, 1));
      await world.apply(await world.read(), proof, claimBy(proof), ack(1));
      await opened.maintenance.moveToRest([world.shard], Number.MAX_SAFE_INTEGER, 10);
      return [inOrder(world, [2]), appending(world, [{ id: 'plain' }])];
    },
    holds: (final) => room(final).tail === 3 && room(final).next_order === 3 && !room(final).waits,
  },
  {
    name: 'late settle, or late message: neither takes the other’s part of the row',
    prepare: async (world) => {
      const proof = await awaiting(world, 2);
      await withGap(world);
      return [write(world, { events: [ack(1), claimBy(proof)], proof }), inOrder(world, [1])];
    },
    holds: (final) => room(final).settled === 1 && room(final).tail === 4 && room(final).next_order === 3,
  },
  {
    name: 'late settle, or late skip: neither takes the other’s part of the row',
    prepare: async (world) => {
      await awaiting(world);
      await withGap(world);
      return [write(world, { events: [ack(1)] }), skipping(world, 1)];
    },
    holds: (final) => room(final).settled === 1 && room(final).tail === 2 && !room(final).waits,
  },
  {
    name: 'nobody: a room is paused while a message of it is parked',
    prepare: async (world) => {
      await claimed(world);
      return [write(world, { events: [pause] }), inOrder(world, [2])];
    },
    holds: (final) => room(final).waits,
  },
];

export const ORDER_THREES: readonly Play[] = [
  {
    name: 'late message, late skip, late rest: the room stays, and its messages come once',
    prepare: async (world) => {
      await withGap(world);
      return [inOrder(world, [1], ONLY_COMMIT), skipping(world, 1, ONLY_COMMIT), resting(world)];
    },
    holds: (final) => final.messages.length === 2 && !room(final).resting,
  },
  {
    name: 'late message, late skip, late settle: each has its effect',
    prepare: async (world) => {
      await awaiting(world);
      await withGap(world);
      return [
        inOrder(world, [1], ONLY_COMMIT),
        skipping(world, 1, ONLY_COMMIT),
        write(world, { events: [ack(1)] }, ONLY_COMMIT),
      ];
    },
    holds: (final) => room(final).tail === 3 && room(final).settled === 1,
  },
];
