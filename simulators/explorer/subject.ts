import { pendingEffects } from '../../src/room/effects.ts';
import { transition } from '../../src/room/transition.ts';

/** What is explored: the functions of the core, and the rules by which a process and its store use them. */
export interface Subject {
  readonly transition: typeof transition;
  readonly pendingEffects: typeof pendingEffects;
  readonly rules: Rules;
}

/** What the engine and its stores do, each switched off only to show that the explorer notices. */
export interface Rules {
  /** The store refuses a write that was decided from an older row. */
  readonly comparesVersions: boolean;
  /** The store refuses a claim whose lease is fenced. */
  readonly provesLease: boolean;
  /** After a claim whose answer was lost, that claim is made void before the row is read again. */
  readonly raisesGeneration: boolean;
  /** After a refused write the row is read and the event decided again. */
  readonly readsAgain: boolean;
  /** A request leaves only in the life that claimed it, while that trusts its lease. */
  readonly sendsInItsLifeOnly: boolean;
  /** A request does not leave once its message is known to have settled. */
  readonly sendsUnsettledOnly: boolean;
}

export const REAL: Subject = {
  transition,
  pendingEffects,
  rules: {
    comparesVersions: true,
    provesLease: true,
    raisesGeneration: true,
    readsAgain: true,
    sendsInItsLifeOnly: true,
    sendsUnsettledOnly: true,
  },
};
