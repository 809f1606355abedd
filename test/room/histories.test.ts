/** Random histories of one room, sensible and absurd events mixed, judged after every step. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nextDeadline, pendingEffects } from '../../src/room/effects.ts';
import type { Effect, RoomEvent } from '../../src/room/events.ts';
import { brokenInvariants } from '../../src/room/invariants.ts';
import {
  ACK_LEVELS,
  type CancelledBy,
  type Envelope,
  hasHead,
  OUTCOMES,
  PHASES,
  type Policy,
  type Room,
} from '../../src/room/room.ts';
import { transition } from '../../src/room/transition.ts';
import { emptyRoom, policyOf, START } from '../support/rooms.ts';
import { ReferenceModel } from './reference-model.ts';

const RUNS = Number(process.env.HISTORIES ?? 3_000);
const SEED = Number(process.env.HISTORIES_SEED ?? 20_260_711);

/** What a step refers to, relative to the room as it is when the step comes. */
interface Step {
  readonly kind: RoomEvent['type'] | 'forget' | 'reload';
  readonly waitMs: number;
  readonly atDeadline: boolean;
  readonly offset: number;
  readonly attemptOffset: number;
  readonly flag: boolean;
  readonly level: number;
  readonly nack: { permanent: boolean; scope: 'message' | 'room' | 'channel' | 'account'; retryAfterMs: number | null };
  readonly platformId: string | null;
  readonly wishes: { notBefore: number | null; expires: number | null; hold: boolean };
  readonly chance: number;
}

const mostly = <Value>(value: Value, ...others: Value[]): fc.Arbitrary<Value> =>
  fc.oneof({ weight: 5, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: fc.constantFrom(value, ...others) });

const steps = fc.array(
  fc.record<Step>({
    kind: fc.oneof(
      { weight: 3, arbitrary: fc.constant('tail_raised' as const) },
      { weight: 6, arbitrary: fc.constant('permit_granted' as const) },
      { weight: 6, arbitrary: fc.constantFrom('attempt_accepted', 'attempt_refused', 'attempt_unknown') },
      { weight: 4, arbitrary: fc.constant('deadline_due' as const) },
      { weight: 4, arbitrary: fc.constantFrom('ack', 'nack') },
      { weight: 3, arbitrary: fc.constantFrom('taken_over', 'pause', 'resume', 'resume', 'forget', 'reload') },
      { weight: 2, arbitrary: fc.constantFrom('skip', 'retry', 'cancel', 'superseded') },
      { weight: 1, arbitrary: fc.constantFrom('history_changed', 'retry') },
    ),
    waitMs: mostly(0, 1, 50, 500, 5_000),
    atDeadline: mostly(true, false),
    offset: mostly(0, -2, -1, 1, 2, 9),
    attemptOffset: mostly(0, -1, 1),
    flag: fc.boolean(),
    level: fc.integer({ min: 1, max: ACK_LEVELS.length - 1 }),
    nack: fc.record({
      permanent: fc.boolean(),
      scope: mostly('message', 'room', 'channel', 'account'),
      retryAfterMs: fc.constantFrom(null, 0, 300, 90_000),
    }),
    platformId: fc.constantFrom(null, 'gw-a', 'gw-b'),
    wishes: fc.record({
      notBefore: mostly(null, 20, 2_000),
      expires: mostly(null, 0, 100, 3_000),
      hold: fc.boolean(),
    }),
    chance: fc.double({ min: 0, max: 0.999, noNaN: true }),
  }),
  { minLength: 10, maxLength: 80, size: 'max' },
);

const policies: fc.Arbitrary<Policy> = fc
  .record({
    unlockedBy: fc.constantFrom('accepted', 'sent', 'delivered', 'read'),
    minGapMs: mostly(0, 40),
    roomLimit: fc.record({ everyMs: mostly(0, 60, 500), burst: fc.integer({ min: 1, max: 3 }) }),
    maxAttempts: fc.integer({ min: 1, max: 3 }),
    unknownPolicy: fc.constantFrom('resend', 'resend', 'hold', 'assume'),
    failurePolicy: fc.constantFrom('move_on', 'move_on', 'hold'),
  })
  .map((wishes) => policyOf({ ...wishes, backoff: { initialMs: 100, maxMs: 1_000, factor: 2, jitter: 0.5 } }));

/** A world of one room: what was appended stays readable, as it does in a store. */
class World {
  room = emptyRoom();
  now = START;
  readonly model = new ReferenceModel();
  readonly policy: Policy;
  /** The envelopes as they were appended, and as the store has them now: with their cancel marks. */
  readonly #appended: Envelope[] = [];
  readonly #stored: Envelope[] = [];

  constructor(policy: Policy) {
    this.policy = policy;
  }

  eventOf(step: Step): RoomEvent {
    const sequence = Math.max(1, this.room.settled + 1 + step.offset);
    const attempt = Math.max(0, this.room.attempt + step.attemptOffset);
    const nack = { ...step.nack, code: 'refused_by_platform' };
    const { chance, flag } = step;
    switch (step.kind) {
      case 'tail_raised':
        return { type: step.kind, tail: this.#append(step), envelopes: this.#told(step.level) };
      case 'forget':
      case 'reload':
        return {
          type: 'tail_raised',
          tail: this.#stored.length,
          envelopes: step.kind === 'reload' ? this.#stored : [],
        };
      case 'permit_granted':
        return { type: step.kind, worker: flag ? 'w1' : 'w2', generation: 1 };
      case 'attempt_accepted': {
        const { platformId } = step;
        return { type: step.kind, sequence, attempt, platformId, platformAt: null, ackTimeoutMs: flag ? 700 : null };
      }
      case 'attempt_refused':
        return { type: step.kind, sequence, attempt, nack, chance };
      case 'attempt_unknown':
        return { type: step.kind, sequence, attempt, code: 'timeout', bytesLeft: flag, chance };
      case 'ack': {
        const level = ACK_LEVELS[step.level] as Exclude<(typeof ACK_LEVELS)[number], 'none'>;
        return { type: step.kind, sequence, level, at: this.now, cumulative: flag };
      }
      case 'nack':
        return { type: step.kind, sequence, nack, platformId: step.platformId, at: this.now, chance };
      case 'deadline_due':
        return { type: step.kind, channelAnswered: flag, chance };
      case 'taken_over':
        return { type: step.kind, chance };
      case 'pause':
      case 'resume':
      case 'history_changed':
        return { type: step.kind };
      case 'skip':
      case 'retry':
      case 'cancel':
      case 'superseded':
        return { type: step.kind, sequence };
      default:
        return step.kind satisfies never;
    }
  }

  take(step: Step): Room {
    this.now += step.waitMs;
    if (step.kind === 'deadline_due' && step.atDeadline) this.now = Math.max(this.now, nextDeadline(this.room) ?? 0);
    if (step.kind === 'forget') this.room = { ...this.room, envelopes: [] };
    const event = this.eventOf(step);
    const before = this.room;
    const decision = transition(before, event, this.now);
    this.model.observe(before, event, decision, this.now);
    this.room = decision.room;
    expect(brokenInvariants(this.room)).toEqual([]);
    expectLive(this.room);
    if (decision.verdict.kind !== 'ignored') {
      expect(decision.effects.filter(derivable)).toEqual(pendingEffects(this.room));
    }
    for (const fact of decision.facts) {
      if (fact.kind === 'settled') seen.add(`${fact.outcome} by ${fact.reason}`);
      if (fact.kind === 'cancel_marked') this.#mark(fact.sequence, fact.by);
    }
    for (const effect of decision.effects) seen.add(`effect ${effect.type}`);
    if (decision.verdict.kind === 'ignored') seen.add(`ignored ${decision.verdict.reason}`);
    return this.room;
  }

  #append({ wishes }: Step): number {
    const sequence = this.#appended.length + 1;
    const envelope: Envelope = {
      sequence,
      messageId: `m-${sequence}`,
      acceptedAt: this.now,
      notBefore: wishes.notBefore === null ? null : this.now + wishes.notBefore,
      expiresAt: wishes.expires === null ? null : this.now + wishes.expires,
      cancelledBy: null,
      policy: wishes.hold ? { ...this.policy, failurePolicy: 'hold' } : this.policy,
    };
    this.#appended.push(envelope);
    this.#stored.push(envelope);
    return sequence;
  }

  /**
   * What a signal of an append tells the holder: nothing, the newest message, or all. An old read, from before a cancel,
   * may come where the room knows the message already; what it does not know it reads together with its row.
   */
  #told(how: number): readonly Envelope[] {
    if (how === 1) return [];
    if (how === 2) return this.#stored.slice(-1);
    const known = this.room.settled + this.room.envelopes.length;
    return known === this.room.tail ? this.#appended : this.#stored;
  }

  #mark(sequence: number, by: CancelledBy): void {
    const stored = this.#stored[sequence - 1] as Envelope;
    this.#stored.splice(sequence - 1, 1, { ...stored, cancelledBy: stored.cancelledBy ?? by });
  }
}

/** R6: whatever waits has somebody who will do something about it. */
function expectLive(room: Room): void {
  if (!hasHead(room)) return;
  const byItself = pendingEffects(room).length > 0 || nextDeadline(room) !== null;
  const byOthers = room.phase === 'held' || room.paused;
  if (!byItself && !byOthers) throw new Error(`broken: R6: nobody looks after a room that is ${room.phase}`);
}

function derivable(effect: Effect): boolean {
  return effect.type !== 'channel_silent' && effect.type !== 'judge_late';
}

const seen = new Set<string>();

describe('random histories', () => {
  test('keep every invariant and every promise', { timeout: 120_000 }, () => {
    let taken = 0;
    fc.assert(
      fc.property(policies, steps, (policy, history) => {
        const world = new World(policy);
        for (const step of history) {
          const room = world.take(step);
          seen.add(`phase ${room.phase}${room.reason === null ? '' : ` ${room.reason}`}`);
          taken++;
        }
      }),
      { numRuns: RUNS, seed: SEED },
    );
    console.log(`histories: ${RUNS} of seed ${SEED}, ${taken} steps, ${seen.size} kinds of things seen`);
    // Guards against a pass in which nothing happened.
    const demanded = [
      ...PHASES.map((phase) => (phase === 'held' ? 'phase held refused' : `phase ${phase}`)),
      ...['not_before', 'limit', 'channel', 'paused'].map((reason) => `phase waiting ${reason}`),
      ...['attempts_exhausted', 'outcome_unknown', 'history_changed'].map((reason) => `phase held ${reason}`),
      ...['acked by ack', 'acked by accepted', 'assumed by ack_timeout', 'assumed by assume_policy'],
      ...['failed by refused', 'failed by attempts_exhausted', 'failed by outcome_unknown'],
      ...['expired by expired', 'cancelled by operator', 'cancelled by superseded', 'skipped by operator'],
      ...['effect channel_silent', 'effect judge_late', 'effect load_envelopes', 'effect lookup'],
      ...['stale_attempt', 'contradiction', 'level_known', 'envelope_missing', 'already_marked', 'begun'].map(
        (reason) => `ignored ${reason}`,
      ),
    ].filter((name) => name !== 'phase waiting');
    expect(demanded.filter((name) => !seen.has(name))).toEqual([]);
    expect(OUTCOMES.filter((outcome) => ![...seen].some((name) => name.startsWith(`${outcome} by`)))).toEqual([]);
  });
});
