import type { Policy } from '../../src/room/room.ts';

/** How much of each there may be on one path, in the order in which a state keeps what is left of them. */
export const BUDGETS = [
  'crashes',
  'steals',
  'losses',
  'unknowns',
  'refusals',
  'nacks',
  'operators',
  'supersessions',
] as const;
export type Budget = (typeof BUDGETS)[number];
/** A state keeps four bits of each. */
export const MAX_BUDGET = 15;

export interface Bounds extends Readonly<Record<Budget, number>> {
  /** At most 7. */
  readonly messages: number;
  /** At most 4. */
  readonly workers: number;
  /**
   * honest: a worker trusts no lease that has ended, but may freeze between that check and what follows it.
   * wrong: it trusts its lease until it hears better, as on a machine whose clock stood still.
   */
  readonly clocks: 'honest' | 'wrong';
}

/** What is counted, for people. */
export const BUDGET_MEANINGS: Readonly<Record<Budget, string>> = {
  crashes: 'processes killed, at any moment; each is started again',
  steals: 'leases that end while their holder runs on',
  losses: 'store answers lost, before or after the commit',
  unknowns: 'requests without an answer, before or after their bytes left',
  refusals: 'refusals: permanent, retryable, of the room, of the channel',
  nacks: 'failed statuses, permanent or retryable, of any attempt',
  operators: 'orders: pause, resume, skip, cancel, retry',
  supersessions: 'messages published in place of an older one',
};

/** A channel's policy, and what its platform does. */
export interface Profile {
  readonly name: string;
  readonly policy: Policy;
  /** The platform can be asked what became of an attempt. */
  readonly lookup: boolean;
  /** Acks hold for every earlier message, too. */
  readonly cumulative: boolean;
  /** Messages may expire. */
  readonly expires: boolean;
}

const POLICY: Policy = {
  unlockedBy: 'delivered',
  ackTimeoutMs: 100,
  minGapMs: 0,
  roomLimit: { everyMs: 0, burst: 1 },
  maxAttempts: 2,
  backoff: { initialMs: 100, maxMs: 100, factor: 1, jitter: 0 },
  unknownGraceMs: 100,
  unknownPolicy: 'resend',
  failurePolicy: 'move_on',
};

function profile(name: string, policy: Partial<Policy>, traits: Partial<Profile> = {}): Profile {
  return { name, policy: { ...POLICY, ...policy }, lookup: false, cumulative: false, expires: false, ...traits };
}

export const PROFILES: readonly Profile[] = [
  profile('resend', {}),
  profile('hold', { unknownPolicy: 'hold', failurePolicy: 'hold' }),
  profile('assume', { unknownPolicy: 'assume' }, { cumulative: true }),
  profile('accepted', { unlockedBy: 'accepted', minGapMs: 100, failurePolicy: 'hold' }),
  profile('expiring', { minGapMs: 100 }, { expires: true }),
  profile('lookup', { unknownPolicy: 'hold' }, { lookup: true }),
];
