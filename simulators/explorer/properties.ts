/**
 * What must hold, judged from what happened in the world and from the rows, never from what the decision thought of it.
 * P1, P3, P4, P6, P7 and P8 are those of the reliability plan; I1 to I11 are `src/room/invariants.ts`, judged on each row.
 */
import type { Decision, RoomEvent, Settled } from '../../src/room/events.ts';
import type { Room } from '../../src/room/room.ts';

export const PROPERTIES = {
  I: 'a room that a decision returns keeps the invariants, and no decision throws',
  D1: 'the version rises by one with what is applied, else not; what is ignored changes nothing',
  D2: 'an ack, nack or answer of a settled message moves no room',
  D3: 'an ack or nack of one message settles no other',
  D4: 'an answer of one attempt is not taken for that of another',
  P1: 'the first attempt of a message begins only when all earlier ones have settled (R2)',
  P3: 'at most one unsettled message has a begun attempt (R3)',
  P4: 'an attempt is repeated only after a refusal, a failure, an unknown outcome, a crash or a lost lease (R4)',
  P6: 'messages settle once each, in order; one that settled as assumed had left (R1)',
  P7: 'a copy that leaves after a later message comes only from a worker that has lost its lease (R4)',
  P8: 'the platform had what settled as acked before any later message left (R2)',
  O1: 'cancelled and skipped only by order, and superseded only by a publisher',
  O2: 'failed only after a permanent refusal, or with all attempts used up',
  O3: 'no attempt of a cancelled message, none in a paused room',
  O4: 'only an ack settles a message whose request the holder has open',
  O5: 'superseded only what was never attempted',
  S1: 'two copies of one version of a row are equal',
  L1: 'from every state the room can come to rest, settled, held or paused, without a fault, an ack or an order (R6)',
} as const;

/** `id`: one of PROPERTIES, or invariants by number. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly id: string;

  constructor(id: string, detail: string) {
    super(`${id}: ${detail}`);
    this.id = id;
  }
}

export function demand(holds: boolean, id: keyof typeof PROPERTIES, detail: () => string): asserts holds {
  if (!holds) throw new Violation(id, `${PROPERTIES[id]}; ${detail()}`);
}

const OF_ATTEMPTS: readonly RoomEvent['type'][] = ['attempt_accepted', 'attempt_refused', 'attempt_unknown'];

export function judgeDecision(before: Room, event: RoomEvent, decision: Decision): void {
  const { room, verdict, facts } = decision;
  const told = (): string => `${event.type} in ${before.phase} was ${verdict.kind}, the room is ${room.phase}`;
  const risen = room.version - before.version;
  demand(risen === (verdict.kind === 'applied' ? 1 : 0), 'D1', told);
  demand(verdict.kind !== 'ignored' || room === before, 'D1', told);
  const settled = facts.filter((fact): fact is Settled => fact.kind === 'settled');
  demand(
    settled.every(({ version }) => version === room.version),
    'D1',
    told,
  );
  if (!('sequence' in event)) return;
  const past = event.sequence <= before.settled;
  const isOrder = event.type === 'skip' || event.type === 'retry' || event.type === 'cancel';
  if (past && !isOrder) demand(verdict.kind === 'ignored', 'D2', told);
  if (event.type === 'ack' || event.type === 'nack') {
    const cumulative = event.type === 'ack' && event.cumulative;
    const first = settled[0];
    const own =
      first === undefined || first.sequence === event.sequence || (cumulative && first.sequence < event.sequence);
    demand(own, 'D3', told);
    // What follows the head settles on the way only by its own mark or time.
    const others = settled.slice(1);
    demand(
      others.every(({ outcome }) => outcome === 'cancelled' || outcome === 'expired'),
      'D3',
      told,
    );
  }
  if (OF_ATTEMPTS.includes(event.type) && 'attempt' in event && event.attempt !== before.attempt) {
    demand(verdict.kind === 'ignored', 'D4', told);
  }
}

/** What the world knows of the room when a write of it commits. */
export interface Witness {
  readonly before: Room;
  readonly after: Room;
  readonly settled: readonly Settled[];
  readonly claims: boolean;
  readonly maxAttempts: number;
  /** Sequences, one bit each. */
  readonly left: number;
  readonly arrived: number;
  readonly cancelOrders: number;
  readonly skipOrders: number;
  readonly superseded: number;
  /** The highest sequence of which a request has left. */
  readonly lastLeft: number;
  /** Something happened since the head's last claim that allows another. */
  readonly excused: boolean;
  /** What the head has met with. */
  readonly refusedForGood: boolean;
  readonly refusedForNow: boolean;
  readonly doubted: boolean;
  /** A worker whose clock misled it has taken the head's attempt over. */
  readonly misjudged: boolean;
  /** The holder has a request of this sequence open. */
  readonly openAtHolder: (sequence: number) => boolean;
}

export function judgeCommit(world: Witness): void {
  const { before, after, settled, claims } = world;
  let cursor = before.settled;
  for (const fact of settled) {
    demand(
      fact.sequence === cursor + 1 && fact.sequence <= before.tail,
      'P6',
      () => `message ${fact.sequence} settled`,
    );
    cursor++;
    judgeOutcome(world, fact);
  }
  demand(after.settled === cursor, 'P6', () => `${after.settled} are settled, ${cursor} should be`);
  if (!claims) return;
  const head = after.settled + 1;
  const known = before.envelopes.find((one) => one.sequence === head);
  demand(known !== undefined, 'P1', () => `message ${head} was claimed, which is not there`);
  demand(known.cancelledBy === null, 'O3', () => `message ${head} was cancelled before its claim`);
  demand(!before.paused, 'O3', () => 'the room was paused before the claim');
  const again = head === before.settled + 1 && before.attempt > 0;
  demand(
    !again || world.excused || world.misjudged,
    'P4',
    () => `attempt ${after.attempt} of message ${head} was claimed`,
  );
  const begun = world.left >>> (head + 1);
  demand(begun === 0, 'P3', () => `message ${head} was claimed after a later one had left`);
}

function judgeOutcome(world: Witness, fact: Settled): void {
  const { sequence, outcome, reason } = fact;
  const bit = 1 << sequence;
  const isHead = sequence === world.before.settled + 1;
  const told = (): string => `message ${sequence} settled as ${outcome} (${reason})`;
  demand(outcome === 'acked' || world.misjudged || !world.openAtHolder(sequence), 'O4', told);
  switch (outcome) {
    case 'acked':
      demand((world.arrived & bit) !== 0 && world.lastLeft <= sequence, 'P8', told);
      return;
    case 'assumed':
      demand((world.left & bit) !== 0 && fact.attempts.length > 0, 'P6', told);
      return;
    case 'failed': {
      const spent = fact.attempts.length >= world.maxAttempts;
      const fits =
        (reason === 'refused' && world.refusedForGood) ||
        (reason === 'attempts_exhausted' && world.refusedForNow && spent) ||
        (reason === 'outcome_unknown' && (world.doubted || world.misjudged) && spent);
      demand(isHead && fits, 'O2', told);
      return;
    }
    case 'cancelled':
      demand(((reason === 'superseded' ? world.superseded : world.cancelOrders) & bit) !== 0, 'O1', told);
      if (reason === 'superseded') demand(fact.attempts.length === 0 && (world.left & bit) === 0, 'O5', told);
      return;
    case 'skipped':
      demand((world.skipOrders & bit) !== 0, 'O1', told);
      return;
    case 'expired':
      demand(isHead || fact.attempts.length === 0, 'P6', told);
      return;
    default:
      outcome satisfies never;
  }
}

/** A request leaves for the platform. */
export function judgeSend(row: Room, sequence: number, lastLeft: number, left: number, hasLease: boolean): void {
  demand(sequence <= row.settled + 1, 'P1', () => `message ${sequence} left while ${row.settled} were settled`);
  demand(sequence >= lastLeft || !hasLease, 'P7', () => `message ${sequence} left after message ${lastLeft}`);
  const unsettled = (left | (1 << sequence)) >>> (row.settled + 1);
  demand((unsettled & (unsettled - 1)) === 0, 'P3', () => `message ${sequence} left while another is open`);
}
