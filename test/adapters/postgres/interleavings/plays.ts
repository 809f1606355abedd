/** Every pair of writers on one room, and some threes. Each play is named after the one who comes too late. */
import type { ClaimProof } from '../../../../src/engine/ports.ts';
import type { Policy, Room } from '../../../../src/room/room.ts';
import { claimBy, type World } from '../../../conformance/world.ts';
import { accepted, ack, deadline, nacked, operator, pause, START, takeOver } from '../../../support/rooms.ts';
import { acceptance, ackById, appending, decideAndWrite, doing, superseding, write } from './acts.ts';
import type { Final } from './judge.ts';
import type { Part, Stage } from './stage.ts';

export interface Play {
  readonly name: string;
  /** Prepares the rooms and hands out the parts. */
  readonly prepare: (world: World, stage: Stage) => Promise<readonly Part[]>;
  /** Tables that need not be as after one actor alone and then the other. */
  readonly blind?: readonly (keyof Final)[];
  /** What must hold in every order, beside what must hold of every play. */
  readonly holds?: (final: Final, answers: readonly unknown[]) => boolean;
}

/** An ack timeout that is over as soon as it begins. */
export const NOW: Partial<Policy> = { ackTimeoutMs: 0 };
type RoomOfPlay = Final['rooms'][number] & { readonly paused: boolean; readonly attempt: number };
const room = (final: Final) => final.rooms[0] as RoomOfPlay;
const outcomes = (final: Final) => final.history.map((message) => message.outcome).join(' ');

export async function claimed(world: World, messages = 1): Promise<{ room: Room; proof: ClaimProof }> {
  const proof = await world.worker(`worker-${world.channel}`);
  return { room: await world.apply(await world.roomWith(messages), proof, claimBy(proof)), proof };
}

export async function awaiting(world: World, messages = 1, policy: Partial<Policy> = {}): Promise<ClaimProof> {
  const proof = await world.worker(`worker-${world.channel}`);
  const begun = await world.apply(await world.roomWith(messages, 'room', policy), proof, claimBy(proof));
  await world.apply(begun, proof, accepted(1));
  return proof;
}

/** A room whose only message has settled. */
export async function empty(world: World): Promise<void> {
  const proof = await world.worker(`worker-${world.channel}`);
  await world.apply(await world.roomWith(1), proof, claimBy(proof), ack(1));
}

export function resting(world: World): Part {
  return doing((actor) =>
    actor.opened.maintenance.moveToRest([world.shard], START + 1, 10).then((moved) => moved.length),
  );
}

const APPENDS: readonly Play[] = [
  {
    name: 'late appender: it is numbered after the other',
    prepare: async (world) => {
      await world.roomWith(1);
      return [appending(world, [{ id: 'a' }, { id: 'b' }]), appending(world, [{ id: 'c' }])];
    },
    holds: (final) => room(final).tail === 4,
  },
  {
    name: 'late copy: it is a duplicate',
    prepare: async (world) => {
      await world.roomWith(1);
      return [appending(world, [{ id: 'a' }]), appending(world, [{ id: 'b' }, { id: 'a' }])];
    },
    holds: (_, answers) => answers.flat().filter((answer) => String(answer).startsWith('duplicate')).length === 1,
  },
  {
    name: 'late copy with another body: it is a conflict',
    prepare: async (world) => {
      await world.roomWith(1);
      return [appending(world, [{ id: 'a', body: 'one' }]), appending(world, [{ id: 'a', body: 'other' }])];
    },
    holds: (_, answers) => answers.flat().filter((answer) => String(answer).startsWith('conflict')).length === 1,
  },
  {
    name: 'late creator: a room that both append to first is made once',
    prepare: async (world) => [appending(world, [{ id: 'a' }]), appending(world, [{ id: 'b' }])],
    holds: (final) => final.rooms.length === 1,
  },
  {
    name: 'nobody: two batches that name two rooms in opposite order',
    prepare: async (world) => {
      await world.roomWith(1, 'x');
      await world.roomWith(1, 'y');
      const [x, y] = [{ room: 'x' }, { room: 'y' }];
      return [
        appending(world, [
          { id: 'a', ...x },
          { id: 'b', ...y },
        ]),
        appending(world, [
          { id: 'c', ...y },
          { id: 'd', ...x },
        ]),
      ];
    },
  },
  {
    name: 'late claim or late append: the later one sees the other',
    prepare: async (world) => {
      const proof = await world.worker(`worker-${world.channel}`);
      await world.roomWith(1);
      return [appending(world, [{ id: 'a' }]), write(world, { events: [claimBy(proof)], proof })];
    },
    holds: (final) => room(final).tail === 2 && room(final).phase === 'sending',
  },
  {
    name: 'late append: the room that settles its last message just then has the new one waiting',
    prepare: async (world) => {
      await awaiting(world);
      return [appending(world, [{ id: 'a' }]), write(world, { events: [ack(1)] })];
    },
    holds: (final) => room(final).tail === 2 && outcomes(final) === 'acked',
  },
  {
    name: 'late copy: of a message that settles just then it is a duplicate',
    prepare: async (world) => {
      await awaiting(world);
      return [appending(world, [{ id: 'm-1' }]), write(world, { events: [ack(1)] })];
    },
    holds: (final, [copy]) => room(final).tail === 1 && String(copy) === 'duplicate 1',
  },
  {
    name: 'late append: to a room where a waiting message is cancelled',
    prepare: async (world) => {
      await world.roomWith(2);
      return [appending(world, [{ id: 'a' }]), write(world, { events: [operator('cancel', 2)] })];
    },
    holds: (final) => room(final).tail === 3,
  },
];

const REST: readonly Play[] = [
  {
    name: 'late rest: a room that is appended to stays, or comes back',
    prepare: async (world) => {
      await empty(world);
      return [resting(world), appending(world, [{ id: 'a' }])];
    },
    holds: (final) => !room(final).resting && room(final).tail === 2,
  },
  {
    name: 'late append: two take one room back from rest',
    prepare: async (world, stage) => {
      await empty(world);
      await stage.opened.maintenance.moveToRest([world.shard], START + 1, 10);
      return [appending(world, [{ id: 'a' }]), appending(world, [{ id: 'b' }])];
    },
    holds: (final) => final.rooms.length === 1 && room(final).tail === 3,
  },
  {
    name: 'late append: an operator takes the room back from rest',
    prepare: async (world, stage) => {
      await empty(world);
      await stage.opened.maintenance.moveToRest([world.shard], START + 1, 10);
      return [appending(world, [{ id: 'a' }]), write(world, { events: [pause] })];
    },
    holds: (final) => room(final).paused && room(final).tail === 2,
  },
  {
    name: 'late rest: a room that an operator pauses stays, or comes back',
    prepare: async (world) => {
      await empty(world);
      return [resting(world), write(world, { events: [pause] })];
    },
    holds: (final) => !room(final).resting && room(final).paused,
  },
  {
    name: 'late rest: a room that the operator unpauses',
    prepare: async (world) => {
      await empty(world);
      await world.apply(await world.read(), null, pause);
      return [resting(world), write(world, { events: [{ type: 'resume' }] })];
    },
  },
  {
    name: 'late rest: two put one room to rest',
    prepare: async (world) => {
      await empty(world);
      return [resting(world), resting(world)];
    },
    holds: (final) => final.rooms.length === 1 && room(final).resting,
  },
];

const CLAIMS: readonly Play[] = [
  {
    name: 'late claim: of two workers one has the room',
    prepare: async (world) => {
      const [one, other] = [await world.worker(`one-${world.channel}`), await world.worker(`other-${world.channel}`)];
      await world.roomWith(1);
      return [
        write(world, { events: [claimBy(one)], proof: one }),
        write(world, { events: [claimBy(other)], proof: other }),
      ];
    },
    holds: (final) => room(final).version === 1,
  },
  {
    name: 'late claim: of two lanes of one worker one has the room',
    prepare: async (world) => {
      const proof = await world.worker(`worker-${world.channel}`);
      await world.roomWith(1);
      const decision = { events: [claimBy(proof)], proof };
      return [write(world, { ...decision, lane: 0 }), write(world, { ...decision, lane: 1 })];
    },
    holds: (final) => room(final).version === 1,
  },
  {
    name: 'late claim: the fence refuses it',
    prepare: async (world, stage) => {
      const proof = await deadWorker(world, stage);
      await world.roomWith(1);
      return [
        write(world, { events: [claimBy(proof)], proof }),
        doing((actor) => actor.opened.stores.ownership.fence(proof.worker)),
      ];
    },
  },
  {
    name: 'stale claim: in a room that the heir has not written yet it is refused, or seen by the heir',
    prepare: async (world, stage) => {
      const dead = await deadWorker(world, stage);
      const heir = await world.worker(`heir-${world.channel}`);
      await world.roomWith(1);
      return [
        write(world, { events: [claimBy(dead)], proof: dead }),
        doing(
          async (actor) => {
            await actor.opened.stores.ownership.fence(dead.worker);
            return decideAndWrite(world, actor, { events: [takeOver, claimBy(heir)], proof: heir });
          },
          ['commit', 'decided'],
        ),
      ];
    },
    holds: (final) => room(final).first_claim_version > 0,
  },
  {
    name: 'stale generation: a delayed claim is refused, or comes before the rise',
    prepare: async (world) => {
      const proof = await world.worker(`worker-${world.channel}`);
      await world.roomWith(1);
      return [
        write(world, { events: [claimBy(proof)], proof }),
        doing((actor) => actor.opened.stores.ownership.raiseGeneration(proof.worker)),
      ];
    },
  },
  {
    name: 'stale generation: the settle of a delayed batch is stored without its claim',
    prepare: async (world) => {
      const proof = await awaiting(world, 2);
      return [
        write(world, { events: [ack(1), claimBy(proof)], proof }),
        doing((actor) => actor.opened.stores.ownership.raiseGeneration(proof.worker)),
      ];
    },
    holds: (final) => outcomes(final) === 'acked',
  },
  {
    name: 'late claim: a worker that lets go claims nothing more',
    prepare: async (world) => {
      const proof = await world.worker(`worker-${world.channel}`);
      await world.roomWith(1);
      return [
        write(world, { events: [claimBy(proof)], proof }),
        doing((actor) => actor.opened.stores.ownership.release(proof.worker)),
      ];
    },
  },
  {
    name: 'late claim: a paused room is not claimed',
    prepare: async (world) => {
      const proof = await world.worker(`worker-${world.channel}`);
      await world.roomWith(1);
      return [write(world, { events: [claimBy(proof)], proof }), write(world, { events: [pause] })];
    },
    holds: (final) => room(final).paused,
  },
  {
    name: 'late claim: a cancelled head is not claimed',
    prepare: async (world) => {
      const proof = await world.worker(`worker-${world.channel}`);
      await world.roomWith(2);
      return [write(world, { events: [claimBy(proof)], proof }), write(world, { events: [operator('cancel', 1)] })];
    },
  },
  {
    name: 'late supersession: the older message is claimed, or cancelled',
    prepare: async (world) => {
      const proof = await world.worker(`worker-${world.channel}`);
      await world.roomWith(2);
      return [write(world, { events: [claimBy(proof)], proof }), superseding(world, 'm-1')];
    },
    holds: (final) => (room(final).settled === 0 ? room(final).attempt === 1 : outcomes(final) === 'cancelled'),
  },
  {
    name: 'late supersession: from an older envelope a superseded message is not claimed',
    prepare: async (world) => {
      const proof = await awaiting(world, 3);
      return [write(world, { events: [ack(1), claimBy(proof)], proof }), superseding(world, 'm-2')];
    },
    holds: (final) => (room(final).settled === 1 ? room(final).attempt === 1 : outcomes(final) === 'acked cancelled'),
  },
  {
    name: 'late mark: who has a waiting message cancelled first is remembered',
    prepare: async (world) => {
      await awaiting(world, 2);
      return [write(world, { events: [operator('cancel', 2)] }), superseding(world, 'm-2')];
    },
    holds: (final) => room(final).settled === 0,
  },
  {
    name: 'late claim: from an older envelope a cancelled message is not claimed',
    prepare: async (world) => {
      const proof = await awaiting(world, 2);
      return [
        write(world, { events: [ack(1), claimBy(proof)], proof }),
        write(world, { events: [operator('cancel', 2)] }),
      ];
    },
  },
  {
    name: 'late claim: a skipped head is not claimed',
    prepare: async (world) => {
      const proof = await world.worker(`worker-${world.channel}`);
      await world.roomWith(2);
      return [write(world, { events: [claimBy(proof)], proof }), write(world, { events: [operator('skip', 1)] })];
    },
  },
];

const SETTLES: readonly Play[] = [
  {
    name: 'late timeout, or late ack: the message has one outcome and the head moves by one',
    prepare: async (world) => {
      await awaiting(world, 2, NOW);
      return [write(world, { events: [ack(1)] }), write(world, { events: [deadline()] })];
    },
    holds: (final) => room(final).settled === 1,
  },
  {
    name: 'late ack: the second of two equal ones does nothing',
    prepare: async (world) => {
      await awaiting(world, 2);
      return [write(world, { events: [ack(1)] }), write(world, { events: [ack(1)] })];
    },
    holds: (final) => room(final).settled === 1 && room(final).version === 3,
  },
  {
    name: 'late holder: the ack was settled elsewhere, the holder claims what is next',
    prepare: async (world) => {
      const proof = await awaiting(world, 2);
      return [write(world, { events: [ack(1)] }), write(world, { events: [ack(1), claimBy(proof)], proof })];
    },
    holds: (final) => room(final).settled === 1 && room(final).phase === 'sending',
  },
  {
    name: 'late sweep: the holder has settled by ack and claimed what is next',
    prepare: async (world) => {
      const proof = await awaiting(world, 3, NOW);
      return [
        write(world, { events: [ack(1), claimBy(proof)], proof }),
        write(world, { events: [deadline()], policy: NOW }),
      ];
    },
    holds: (final) => room(final).settled === 1 && room(final).phase === 'sending',
  },
  {
    name: 'late nack: the timeout came first, or the other way round',
    prepare: async (world) => {
      await awaiting(world, 1, NOW);
      return [write(world, { events: [nacked(1)] }), write(world, { events: [deadline()] })];
    },
  },
  {
    name: 'early ack: it settles before the acceptance, which then belongs to history',
    prepare: async (world) => {
      await claimed(world, 2);
      return [acceptance(world, 1, 'gw'), write(world, { events: [ack(1)] })];
    },
    holds: (final) => outcomes(final) === 'acked',
  },
  {
    name: 'late acceptance, or late ack by id: whichever commits second sees the other',
    prepare: async (world) => {
      await claimed(world, 2);
      return [acceptance(world, 1, 'gw'), ackById(world, 'gw')];
    },
    // The acceptance finds the kept ack; if it was faster the row keeps none, and where they meet it may do both.
    blind: ['platform_ids'],
    holds: (final) => outcomes(final) === 'acked' && final.platform_ids[0]?.sequence === 1,
  },
  {
    name: 'late ack by id: two acks of one id',
    prepare: async (world) => {
      await claimed(world);
      return [ackById(world, 'gw'), ackById(world, 'gw')];
    },
    holds: (final) => final.platform_ids.length === 1,
  },
  {
    name: 'late acceptance: the room was taken over',
    prepare: async (world) => {
      await claimed(world);
      return [acceptance(world, 1, 'gw'), write(world, { events: [takeOver] })];
    },
  },
  {
    name: 'late resend: an ack settles the message of unknown outcome',
    prepare: async (world) => {
      const { room: sending, proof } = await claimed(world, 2);
      await world.apply(sending, proof, takeOver);
      return [write(world, { events: [ack(1)] }), write(world, { events: [takeOver, deadline()] })];
    },
    holds: (final) => outcomes(final) === 'acked',
  },
  {
    name: 'late operator: the message that is to be skipped was acked',
    prepare: async (world) => {
      await awaiting(world, 2);
      return [write(world, { events: [ack(1)] }), write(world, { events: [operator('skip', 1)] })];
    },
    holds: (final) => room(final).settled === 1,
  },
  {
    name: 'late operator: the message that is to be cancelled timed out',
    prepare: async (world) => {
      await awaiting(world, 2, NOW);
      return [write(world, { events: [deadline()] }), write(world, { events: [operator('cancel', 1)] })];
    },
    holds: (final) => room(final).settled === 1,
  },
  {
    name: 'nobody: a room is paused while its head settles',
    prepare: async (world) => {
      const proof = await awaiting(world, 2);
      return [write(world, { events: [ack(1), claimBy(proof)], proof }), write(world, { events: [pause] })];
    },
    holds: (final) => room(final).paused && outcomes(final) === 'acked',
  },
];

export async function deadWorker(world: World, stage: Stage): Promise<ClaimProof> {
  const dead = await world.worker(`dead-${world.channel}`);
  await stage.director.query('UPDATE workers SET lease_until = clock_timestamp() WHERE worker = $1', [dead.worker]);
  return dead;
}

export const ROOM_PLAYS: readonly Play[] = [...APPENDS, ...REST, ...CLAIMS, ...SETTLES];
