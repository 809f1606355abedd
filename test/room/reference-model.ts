/**
 * What the promises say of one room's history, judged from outside: it sees each event and what was decided, shares no
 * code with the decision, and throws at the first thing that may not be.
 */
import type { Decision, RoomEvent, Settled } from '../../src/room/events.ts';
import type { Room } from '../../src/room/room.ts';

interface Message {
  readonly attempts: ('open' | 'accepted' | 'refused' | 'unknown' | 'interrupted' | 'nacked' | 'doubted')[];
  level: number;
  /** Who came first with a mark on it. */
  markedBy: 'operator' | 'superseded' | null;
  ordered: boolean;
  superseded: boolean;
}

const LEVELS = ['none', 'accepted', 'sent', 'delivered', 'read'];

export class ReferenceModel {
  settled = 0;
  #settledAt = Number.NEGATIVE_INFINITY;
  #gapMs = 0;
  /** When its attempts began. */
  readonly #begun: number[] = [];
  readonly #messages = new Map<number, Message>();

  /** Judges one decision; `before` is the room that it was made about. */
  observe(before: Room, event: RoomEvent, decision: Decision, now: number): void {
    const { room, verdict, facts } = decision;
    const head = before.settled + 1;
    this.#judgeVerdict(before, decision, now);
    if (verdict.kind === 'applied') this.#hearOf(before, event);
    for (const fact of facts) {
      if (fact.kind === 'cancel_marked') this.#message(fact.sequence).markedBy ??= fact.by;
      if (fact.kind !== 'settled') continue;
      const message = this.#message(fact.sequence);
      must(verdict.kind === 'applied' && fact.version === room.version, 'R1: a settling is stored with its room');
      must(fact.sequence === this.settled + 1, 'R1: messages settle once each, in the order of their sequences');
      must(fact.outcome !== 'assumed' || message.attempts.length > 0, 'R1: assumed only if an attempt began');
      must(fact.outcome !== 'skipped' || message.ordered, 'a message is skipped only by order');
      if (fact.outcome === 'cancelled') mustBeOrdered(fact, message);
      must(fact.outcome === 'acked' || message.attempts.at(-1) !== 'open', 'only an ack settles under an open request');
      must(fact.deadLetter === (fact.outcome === 'failed'), 'failed messages are dead letters, no others');
      must(fact.attempts.length === Math.min(20, message.attempts.length), 'the history has every attempt');
      must(LEVELS.indexOf(fact.level) >= message.level, 'levels never fall');
      if (event.type === 'ack' && fact.outcome !== 'expired' && fact.outcome !== 'cancelled') {
        must(event.sequence === fact.sequence || event.cumulative, 'an ack settles no other message than its own');
      }
      if (event.type === 'nack' && fact.outcome === 'failed') must(event.sequence === fact.sequence, 'nor does a nack');
      if (event.type === 'attempt_refused' && event.nack.scope !== 'message' && event.nack.scope !== 'room') {
        must(fact.outcome !== 'failed', 'what a channel refuses is no fault of the message');
      }
      if (event.type === 'deadline_due' && fact.reason === 'outcome_unknown') {
        must(event.channelAnswered, 'silence of a whole channel fails no message');
      }
      this.settled = fact.sequence;
      if (message.attempts.length > 0) {
        this.#settledAt = now;
        this.#gapMs = before.envelopes.find((one) => one.sequence === fact.sequence)?.policy.minGapMs ?? 0;
      }
    }
    must(room.settled === this.settled, 'the cursor moves only with what settles');
    this.#judgeAttempt(before, event, room, now);
    if (head === room.settled + 1) {
      const message = this.#message(head);
      must(LEVELS.indexOf(room.level) >= message.level, 'levels never fall');
      message.level = LEVELS.indexOf(room.level);
    }
  }

  #judgeVerdict(before: Room, { verdict, room, facts, effects }: Decision, now: number): void {
    const risen = room.version - before.version;
    must(risen === (verdict.kind === 'applied' ? 1 : 0), 'the version rises by one with what is applied, else not');
    const moved = room.phase !== before.phase || room.reason !== before.reason || room.settled !== before.settled;
    must(room.since === (moved ? now : before.since), 'a phase tells since when it lasts');
    must(
      !room.paused || effects.every((effect) => effect.type !== 'request_permit'),
      'a paused room asks for no permit',
    );
    if (verdict.kind === 'ignored') must(room === before, 'what is ignored changes nothing');
    if (verdict.kind === 'noted') {
      const durable = { ...room, tail: before.tail, envelopes: before.envelopes };
      must(JSON.stringify(durable) === JSON.stringify(before), 'what is noted changes nothing durable');
    }
    if (verdict.kind !== 'applied') must(facts.every(tellsOfSettled(before)), 'no fact without its room');
  }

  /** What the event says of the head's attempts and orders, once the room has heeded it. */
  #hearOf(before: Room, event: RoomEvent): void {
    const message = this.#message(before.settled + 1);
    const last = message.attempts.length - 1;
    const end = (result: Message['attempts'][number]) => message.attempts.splice(last, 1, result);
    if (event.type === 'attempt_accepted') end('accepted');
    if (event.type === 'attempt_refused') end('refused');
    if (event.type === 'attempt_unknown') end('unknown');
    if (event.type === 'taken_over') end('interrupted');
    // A nack under an open request waits for that request's end.
    if (event.type === 'nack' && message.attempts[last] !== 'open') end('nacked');
    const answered =
      event.type === 'attempt_accepted' || event.type === 'attempt_unknown' || event.type === 'taken_over';
    if (answered && before.nack !== null) end('nacked');
    if (event.type === 'skip' || event.type === 'cancel') this.#message(event.sequence).ordered = true;
    if (event.type === 'superseded') this.#message(event.sequence).superseded = true;
    if (event.type === 'retry') message.ordered = false;
    // What was accepted in a history that is doubted may be sent again when an operator says so.
    if (event.type === 'retry' && before.reason === 'history_changed' && last >= 0) end('doubted');
  }

  #judgeAttempt(before: Room, event: RoomEvent, room: Room, now: number): void {
    const head = this.#message(room.settled + 1);
    const begun = room.attempt > head.attempts.length;
    must(room.attempt === head.attempts.length + (begun ? 1 : 0), 'attempts are numbered from 1 without gaps');
    if (!begun) return;
    must(event.type === 'permit_granted' && room.phase === 'sending', 'an attempt begins with a permit in hand');
    must(
      head.attempts.every((one) => !['open', 'accepted'].includes(one)),
      'R4: no attempt before the last one ended',
    );
    must(!before.paused && head.markedBy === null, 'no attempt while paused, none of a cancelled message');
    must(now >= this.#settledAt + this.#gapMs, 'no attempt within the minimum gap');
    const envelope = room.envelopes[0];
    must((envelope?.notBefore ?? 0) <= now && (envelope?.expiresAt ?? now + 1) > now, 'no attempt outside its time');
    this.#begun.push(now);
    const { everyMs, burst } = envelope?.policy.roomLimit ?? { everyMs: 0, burst: 1 };
    const tooMany = this.#begun.some((from, i) => this.#begun.length - i > burst + (now - from) / everyMs);
    must(everyMs === 0 || !tooMany, 'R5: no more attempts than the limit on the room lets through');
    const others = [...this.#messages].filter(([sequence]) => sequence > this.settled + 1);
    must(
      others.every(([, message]) => message.attempts.length === 0),
      'R2, R3: only the head is ever attempted',
    );
    head.attempts.push('open');
  }

  #message(sequence: number): Message {
    const known = this.#messages.get(sequence);
    if (known !== undefined) return known;
    const message: Message = { attempts: [], level: 0, markedBy: null, ordered: false, superseded: false };
    this.#messages.set(sequence, message);
    return message;
  }
}

function mustBeOrdered(fact: Settled, message: Message): void {
  if (fact.reason === 'superseded') {
    must(message.superseded && message.attempts.length === 0, 'superseded only by order, and only if never attempted');
    return;
  }
  must(fact.reason === 'operator', 'cancelled by an operator or by a newer message');
  must(message.ordered || message.markedBy === 'operator', 'cancelled only by order');
}

function tellsOfSettled(before: Room): (fact: Decision['facts'][number]) => boolean {
  return (fact) => fact.kind === 'accepted_as' || (fact.kind === 'answered_late' && fact.sequence <= before.settled);
}

function must(holds: boolean, rule: string): asserts holds {
  if (!holds) throw new Error(`broken: ${rule}`);
}
