import type { Violation } from './types.ts';

/** The twelve checks, each with the promises it speaks for and the rules that it consists of. */
export const CHECKS = {
  C1: {
    promise: 'R1, R2',
    says: 'every accepted message has one row, numbered without a gap in publish order',
    rules: ['R1_lost', 'R2_sequence'],
  },
  C2: {
    promise: 'R1',
    says: 'every row is settled once, with a reason unless acked or assumed',
    rules: ['R1_settled_twice', 'R1_unsettled', 'R1_no_reason', 'R1_no_dead_letter', 'unjustified_failure'],
  },
  C3: {
    promise: 'R2',
    says: 'acked messages reached the platform in the order of their room',
    rules: ['R2_overtaken', 'swap_after_acked'],
  },
  C4: {
    promise: 'R2, R3',
    says: 'the first attempt of a message follows the outcome of the one before, by the versions of the room',
    rules: ['R2_versions', 'R3_two_in_flight', 'R3_stale_claim'],
  },
  C5: {
    promise: 'R4',
    says: 'all receipts of a message share reference, content and recipient',
    rules: ['C5_copies_differ'],
  },
  C6: {
    promise: 'R4',
    says: 'every extra receipt follows an unknown outcome or a take-over of its own message',
    rules: ['R4_unexplained_copy', 'R4_unrecorded_attempt'],
  },
  C7: {
    promise: 'R2, R4',
    says: 'a copy after a later message was held by the network or came from a stale worker',
    rules: ['R4_late_copy'],
  },
  C8: {
    promise: 'R1, R2',
    says: 'every status answered 2xx is on disk, and no ack is on disk that was not sent',
    rules: ['ack_lost', 'ack_from_nowhere', 'webhook_forged_accepted', 'webhook_valid_refused'],
  },
  C9: { promise: 'R6', says: 'no room with waiting messages stands still', rules: ['R6_stuck'] },
  C10: { promise: 'R5', says: 'rooms that no fault was aimed at are not slower', rules: ['R5_slower'] },
  C11: {
    promise: 'all',
    says: 'the load was accepted, the faults struck, the killed were succeeded',
    rules: ['empty_pass'],
  },
  C12: { promise: 'privacy', says: 'no planted secret, recipient or text is in a log', rules: ['leaked'] },
} as const satisfies Record<string, { promise: string; says: string; rules: readonly string[] }>;

export type CheckName = keyof typeof CHECKS;
export type Rule = (typeof CHECKS)[CheckName]['rules'][number];

export const CHECK_NAMES = Object.keys(CHECKS) as CheckName[];

const CHECK_OF = new Map<Rule, CheckName>(
  CHECK_NAMES.flatMap((name) => CHECKS[name].rules.map((rule) => [rule, name] as const)),
);

export const checkOf = (rule: Rule): CheckName => CHECK_OF.get(rule) as CheckName;

export interface CheckResult {
  check: CheckName;
  promise: string;
  says: string;
  /** `not_checked`: there was nothing to look at, or its input was not given. */
  result: 'ok' | 'broken' | 'not_checked';
  /** Checked, and nothing found. */
  ok: boolean;
  /** How many things it looked at. */
  checked: number;
  /** How many of them were wrong. */
  broken: number;
  /** Some examples of each rule. */
  violations: Violation[];
}
