/** What is checked: the model within bounds, and planted bugs with what has to come of them. */

export interface Bounds {
  readonly messages: number;
  readonly workers: number;
  /** Of a message, at the most. */
  readonly attempts: number;
  readonly crashes: number;
  /** Leases that end while their holder runs on. */
  readonly steals: number;
  /** Answers of the store that are lost. */
  readonly losses: number;
  /** Plans that move the shard. */
  readonly moves: number;
}

/**
 * `promises`: every assertion, and that nothing ends before all is settled. `ends`: that no run goes round for ever, on
 * any schedule; `ends fairly`: on none where what can always be done is done some time.
 */
export type Check = 'promises' | 'ends' | 'ends fairly';

export const PROMISES = ['R1', 'R2', 'R3', 'R4', 'R6', 'OA', 'OB'] as const;
export type PromiseName = (typeof PROMISES)[number];

export interface Configuration {
  readonly name: string;
  readonly bounds: Bounds;
  /** Definitions of planted.pml. */
  readonly with: readonly string[];
  readonly check: Check;
  /** The promises one of which must be found broken; `clean` where none may be. */
  readonly expected: 'clean' | readonly PromiseName[];
  readonly quick: boolean;
  /** Of a planted bug that nothing shows: what covers it. */
  readonly covered?: string;
}

/** @param broken the promise that was found broken; null where none was */
export function isAsExpected({ expected }: Configuration, broken: PromiseName | null): boolean {
  return expected === 'clean' ? broken === null : broken !== null && expected.includes(broken);
}

function within(bounds: Partial<Bounds>): Bounds {
  return { messages: 2, workers: 2, attempts: 2, crashes: 0, steals: 0, losses: 0, moves: 0, ...bounds };
}

type Rules = Partial<Pick<Configuration, 'with' | 'check' | 'quick'>>;

function clean(name: string, bounds: Partial<Bounds>, rules: Rules = {}): Configuration {
  return { name, bounds: within(bounds), with: [], check: 'promises', quick: false, ...rules, expected: 'clean' };
}

function bug(
  name: string,
  definitions: string,
  bounds: Partial<Bounds>,
  expected: readonly PromiseName[],
  rules: Rules = {},
): Configuration {
  return { ...clean(name, bounds, { quick: true, ...rules }), with: definitions.split(' '), expected };
}

function belt(
  name: string,
  definitions: string,
  bounds: Partial<Bounds>,
  covered: string,
  rules: Rules = {},
): Configuration {
  return { ...clean(name, bounds, { quick: true, ...rules }), with: definitions.split(' '), covered };
}

export const CLEAN: readonly Configuration[] = [
  clean('crash, lost answer, plan', { crashes: 1, losses: 1, moves: 1 }, { quick: true }),
  clean('lost lease', { steals: 1 }, { quick: true }),
  clean('lost lease, wrong clock', { steals: 1 }, { quick: true, with: ['WRONG_CLOCKS'] }),
  clean('lost lease, pauses bounded', { steals: 1 }, { quick: true, with: ['NO_LATE_COPY', 'BOUNDED_PAUSES'] }),
  clean('ends: lost answer, plan', { losses: 1, moves: 1 }, { quick: true, check: 'ends' }),
  clean('lost lease, plan', { steals: 1, moves: 1 }),
  clean('crash, lost lease', { crashes: 1, steals: 1 }),
  clean('lost lease, answer', { steals: 1, losses: 1 }),
  clean('crash, lost lease, answer', { crashes: 1, steals: 1, losses: 1 }),
  clean('crash, lost lease, plan', { crashes: 1, steals: 1, moves: 1 }),
  clean('two plans, two lost answers', { losses: 2, moves: 2 }),
  clean('two plans, lost lease', { steals: 1, moves: 2 }),
  clean('three messages', { messages: 3, crashes: 1, losses: 1, moves: 1 }),
  clean('three messages, lost lease', { messages: 3, steals: 1, moves: 1 }),
  clean('three workers', { workers: 3, crashes: 1, moves: 1 }),
  clean('three workers, lost lease', { workers: 3, steals: 1 }),
  clean('wrong clock, plan', { steals: 1, moves: 1 }, { with: ['WRONG_CLOCKS'] }),
  clean('ends: crash, lost answer, plan', { crashes: 1, losses: 1, moves: 1 }, { check: 'ends' }),
  clean('ends: lost lease', { steals: 1 }, { check: 'ends' }),
  clean('ends fairly: crash, plan', { crashes: 1, moves: 1 }, { check: 'ends fairly' }),
  clean('ends fairly: wrong clock', { steals: 1 }, { check: 'ends fairly', with: ['WRONG_CLOCKS'] }),
];

export const PLANTED: readonly Configuration[] = [
  bug('no fence', 'NO_FENCE WRONG_CLOCKS', { steals: 1 }, ['OB']),
  bug('no fence, seen at the platform', 'NO_FENCE WRONG_CLOCKS ONLY_MESSAGES', { steals: 1 }, ['R4']),
  bug('fence looked at, not locked', 'SNAPSHOT_FENCE WRONG_CLOCKS', { steals: 1 }, ['OB']),
  bug('no version', 'NO_VERSION', {}, ['R1', 'R2', 'R3', 'R4']),
  bug('no version, no fence', 'NO_VERSION NO_FENCE', { steals: 1 }, ['R1', 'R2', 'R3', 'R4', 'OA', 'OB']),
  bug('one name for two processes', 'SAME_IDENTITY', {}, ['R4']),
  bug('a former life’s name', 'REUSED_IDENTITY', { crashes: 1 }, ['R4']),
  bug('handed over with sends open', 'EARLY_HAND_OVER', { moves: 1 }, ['R4', 'OA']),
  bug('heir begins before the hand-over', 'HEIR_BEGINS', { moves: 1 }, ['R4', 'OA']),
  bug('takes over while it hands over', 'LEAVING_TAKES_OVER', { moves: 1 }, ['R4']),
  bug('lost answer taken for a no', 'LOST_ANSWER_IS_NO', { losses: 1, moves: 1 }, ['R4', 'OA']),
  bug('older answer about shards', 'OLD_ANSWER', { moves: 1 }, ['R4', 'OA']),
  bug('late hand-over of another epoch', 'NO_EPOCH', { losses: 1, moves: 3 }, ['R4', 'OA'], { quick: false }),
  bug('plan gives away what was free', 'OLD_PLAN', { crashes: 1, moves: 1 }, ['R4', 'OA']),
  bug('heir that died stays', 'DEAD_HEIR_STAYS', { steals: 1, moves: 1 }, ['R6'], { check: 'ends' }),
  bug('generation not raised', 'NO_GENERATION', { losses: 1, moves: 1 }, ['R4', 'OA']),
  bug('unknown settled unsent', 'SETTLE_UNKNOWN', { crashes: 1 }, ['R1']),
  bug('resent at once, no grace', 'BLIND_RESEND', { crashes: 1 }, ['R4']),
  bug('ack of another message', 'ACK_UNMATCHED', {}, ['R1', 'R2']),
  bug('sweeper without a version', 'BLIND_SWEEPER', {}, ['R1', 'R2']),
  bug('no ack timeout', 'NO_ACK_TIMEOUT', {}, ['R6']),
  bug('room dropped after a refusal', 'DROP_AFTER_REFUSAL', {}, ['R6']),
  bug('that no late copy is ever sent', 'NO_LATE_COPY', { steals: 1 }, ['R4']),
  belt(
    'no fence, right clock, seen at the platform',
    'NO_FENCE ONLY_MESSAGES',
    { steals: 1 },
    'the last look at the lease comes after the claim, and a clock that is right sees that it has ended',
  ),
  belt(
    'rooms read before the fence',
    'READ_BEFORE_FENCE WRONG_CLOCKS',
    { steals: 1 },
    'what was decided too early is refused by the version of a row that the old holder wrote since',
  ),
];

/** Rules of a hand-over broken while the store proves the shard's owner, too: what such a proof would be worth. */
export const OWNER_PROVED: readonly Configuration[] = [
  ...[1, 2].map((proof) =>
    bug(
      `takes over while it hands over; ${told(proof)}`,
      `LEAVING_TAKES_OVER OWNER_PROVED=${proof}`,
      { moves: 1 },
      ['R4'],
      {
        quick: false,
      },
    ),
  ),
  ...[1, 2].map((proof) =>
    bug(`older answer about shards; ${told(proof)}`, `OLD_ANSWER OWNER_PROVED=${proof}`, { moves: 1 }, ['R4'], {
      quick: false,
    }),
  ),
  bug(`generation not raised; ${told(3)}`, 'NO_GENERATION OWNER_PROVED=3', { losses: 1, moves: 1 }, ['OA'], {
    quick: false,
  }),
  bug(
    `lost answer taken for a no; ${told(4)}`,
    'LOST_ANSWER_IS_NO OWNER_PROVED=4',
    { losses: 1, moves: 1 },
    ['R4', 'OA'],
    {
      quick: false,
    },
  ),
  bug(`handed over with sends open; ${told(4)}`, 'EARLY_HAND_OVER OWNER_PROVED=4', { moves: 1 }, ['R4'], {
    quick: false,
  }),
  ...[
    ['takes over while it hands over', 'LEAVING_TAKES_OVER', 3],
    ['heir begins before the hand-over', 'HEIR_BEGINS', 3],
    ['older answer about shards', 'OLD_ANSWER', 3],
    ['generation not raised', 'NO_GENERATION', 4],
  ].map(([name, definition, proof]) =>
    belt(
      `${name}; ${told(Number(proof))}`,
      `${definition} OWNER_PROVED=${proof}`,
      { losses: 1, moves: 1 },
      'the store refuses what is not the owner’s',
      { quick: false },
    ),
  ),
];

function told(proof: number): string {
  return `owner ${proof % 2 === 1 ? 'read' : 'locked'} for ${proof > 2 ? 'claims and take-overs' : 'claims'}`;
}
