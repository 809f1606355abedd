/** What actors do: each the way the engine does it, a decision that came too late being made again. */
import type { AppendResult, ClaimProof, InboxAck, WriteResult } from '../../../../src/engine/ports.ts';
import type { Fact, RoomEvent } from '../../../../src/room/events.ts';
import type { Policy } from '../../../../src/room/room.ts';
import { transition } from '../../../../src/room/transition.ts';
import type { World } from '../../../conformance/world.ts';
import { operator, START } from '../../../support/rooms.ts';
import type { Actor, Part, Stop } from './stage.ts';

export const WRITE_STOPS: readonly Stop[] = ['decided', 'commit'];
const TRIES = 20;

export interface Decision {
  readonly events: readonly RoomEvent[];
  readonly room?: string;
  readonly policy?: Partial<Policy>;
  /** Whose claim it is. */
  readonly proof?: ClaimProof;
  readonly lane?: number;
}

/** Reads, decides, writes; and again where the room has changed or is busy, without a claim where that is refused. */
export async function decideAndWrite(world: World, actor: Actor, decision: Decision): Promise<string> {
  const written = await writeOf(world, actor, decision);
  return written === null ? 'nothing to do' : `stored, tail ${written.tail}`;
}

/** Null where the decision comes to nothing by now. */
async function writeOf(
  world: World,
  actor: Actor,
  { events, room: name = 'room', policy = {}, proof, lane = 0 }: Decision,
): Promise<{ readonly tail: number; readonly inbox: readonly InboxAck[] } | null> {
  const mine = world.through(actor.opened.stores);
  let mayClaim = true;
  for (let tries = 0; tries < TRIES; tries++) {
    const room = await mine.read(name, policy);
    let next = room;
    const facts: Fact[] = [];
    let claims = false;
    for (const event of events.filter((one) => mayClaim || one.type !== 'permit_granted')) {
      const decided = transition(next, event, START);
      if (decided.verdict.kind === 'ignored') continue;
      next = decided.room;
      facts.push(...decided.facts);
      claims ||= event.type === 'permit_granted' && next.phase === 'sending';
    }
    await actor.at('decided');
    if (next === room) return null;
    const write = { expectedVersion: room.version, next, facts, claims };
    let result: WriteResult = await mine.write(write, proof ?? null, lane);
    for (let busy = 1; result.kind === 'busy'; busy++) {
      // The first time it may be that the room only had to be taken back from rest.
      if (busy > 1) await actor.yields();
      result = await mine.write(write, proof ?? null, lane);
    }
    if (result.kind === 'committed') {
      actor.versionsRaised += next.version - room.version;
      return result;
    }
    if (result.kind === 'fenced') mayClaim = false;
  }
  throw new Error('its decision came too late every time');
}

export function write(world: World, decision: Decision, stops: readonly Stop[] = WRITE_STOPS): Part {
  return { stops, run: (actor) => decideAndWrite(world, actor, decision) };
}

/** What intake does once a newer message has committed: it looks whether the older one waits, and has it cancelled. */
export function superseding(world: World, messageId: string, stops = WRITE_STOPS): Part {
  return {
    stops,
    run: async (actor) => {
      const { row } = await world.stored();
      const { rooms } = actor.opened.stores;
      const [sequence] = await rooms.findWaiting([{ shard: row.shard, id: row.id, messageId }]);
      if (sequence == null) return 'it does not wait';
      return decideAndWrite(world, actor, { events: [operator('superseded', sequence)] });
    },
  };
}

/** The answer to a send comes in; acks that it finds in the inbox are applied. */
export function acceptance(world: World, sequence: number, platformId: string, stops = WRITE_STOPS): Part {
  return {
    stops,
    run: async (actor) => {
      const event: RoomEvent = {
        type: 'attempt_accepted',
        sequence,
        attempt: 1,
        platformId,
        platformAt: null,
        ackTimeoutMs: null,
      };
      const written = await writeOf(world, actor, { events: [event] });
      for (const kept of written?.inbox ?? []) await applyAck(world, actor, sequence, kept);
      return 'recorded';
    },
  };
}

/** An ack with nothing but the platform's id: to its message, or into the inbox. */
export function ackById(world: World, platformId: string): Part {
  return {
    stops: ['commit'],
    run: async (actor) => {
      const about = { platformId, level: 'delivered', nack: null, at: START } as const;
      const [match] = await actor.opened.stores.inbox.matchOrKeep(world.key(), [about], START);
      if (match?.kind === 'matched') await applyAck(world, actor, match.sequence, about);
      return 'heeded';
    },
  };
}

async function applyAck(world: World, actor: Actor, sequence: number, { level }: InboxAck): Promise<void> {
  if (level === 'none') return;
  await decideAndWrite(world, actor, { events: [{ type: 'ack', sequence, level, at: START, cumulative: false }] });
}

/** An append of message ids to rooms; the answer is what became of each. */
export function appending(
  world: World,
  messages: readonly { readonly id: string; readonly room?: string; readonly body?: string }[],
  stops: readonly Stop[] = ['insert', 'commit'],
): Part {
  return {
    stops,
    run: async (actor) => {
      const batch = messages.map(({ id, room = 'room', body }) =>
        world.message(id, { room, ...(body === undefined ? {} : { body: Buffer.from(body) }) }),
      );
      const results: AppendResult[] = await actor.opened.stores.rooms.append(batch);
      return results.map((result) =>
        result.kind === 'appended'
          ? `appended ${result.sequence}, ${result.row.phase} with tail ${result.row.tail}`
          : `${result.kind} ${result.sequence}`,
      );
    },
  };
}

/** Anything else of the store. */
export function doing(run: (actor: Actor) => Promise<unknown>, stops: readonly Stop[] = ['commit']): Part {
  return { stops, run };
}
