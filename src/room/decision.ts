/** The three forms of a decision. */
import { pendingEffects } from './effects.ts';
import type { Decision, Effect, Fact, IgnoredReason, Verdict } from './events.ts';
import { assertInvariants } from './invariants.ts';
import type { Room } from './room.ts';

export function applied(
  before: Room,
  after: Room,
  facts: readonly Fact[],
  now: number,
  effects: readonly Effect[] = [],
): Decision {
  const moved = after.phase !== before.phase || after.reason !== before.reason || after.settled !== before.settled;
  const next: Room = { ...after, version: before.version + 1, since: moved ? now : before.since };
  assertInvariants(next);
  return { verdict: APPLIED, room: next, facts, effects: [...effects, ...pendingEffects(next)] };
}

export function noted(room: Room): Decision {
  return { verdict: NOTED, room, facts: [], effects: pendingEffects(room) };
}

export function ignored(
  room: Room,
  reason: IgnoredReason,
  facts: readonly Fact[] = [],
  effects: readonly Effect[] = [],
): Decision {
  return { verdict: { kind: 'ignored', reason }, room, facts, effects };
}

/** Nothing can be decided without the head's policy: it is loaded first. */
export function envelopeMissing(room: Room, facts: readonly Fact[] = []): Decision {
  return ignored(room, 'envelope_missing', facts, pendingEffects(room));
}

const APPLIED: Verdict = { kind: 'applied' };
const NOTED: Verdict = { kind: 'noted' };
