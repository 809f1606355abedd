import type { Outcome, Verdict, Violation } from '../oracle/types.ts';

/** What a run showed, as `--json` writes it. */
export interface DemoVerdict {
  /** Nothing in `problems`. */
  readonly clean: boolean;
  readonly problems: readonly string[];
  /** Whose wire format was spoken, where it was not the generic one. */
  readonly channel?: string;
  readonly run: string;
  readonly rooms: number;
  readonly messagesPerRoom: number;
  readonly seed: number;
  readonly roomline: RoomlineResult;
  readonly everythingAtOnce: WayResult;
  readonly fixedPause: WayResult;
}

export interface WayResult {
  readonly messages: number;
  /** From the first message that reached the platform to the last one that reached a phone. */
  readonly durationMs: number;
  /** Messages that a phone showed after a later one of their room. */
  readonly swaps: number;
  readonly roomsWithSwaps: number;
  readonly lost: number;
  /** Copies beyond the first that reached the platform. */
  readonly duplicates: number;
}

export interface RoomlineResult extends WayResult {
  readonly swapsAfterAcked: number;
  readonly swapsAfterAssumed: number;
  /** Sends whose outcome the sender could not know. */
  readonly unknownOutcomes: number;
  readonly acksLost: number;
  readonly outcomes: Partial<Record<Outcome, number>>;
  /** Share of the messages with a successor that were acked before it began. */
  readonly orderProven: number;
  readonly violationsR2: number;
  readonly violationsR3: number;
  /** Every rule that was broken, and how often; with some examples. */
  readonly broken: Verdict['broken'];
  readonly violations: readonly Violation[];
}

export interface Run {
  readonly channel?: string;
  readonly run: string;
  readonly rooms: number;
  readonly messagesPerRoom: number;
  readonly seed: number;
}

/** @param ack the status whose loss is the loss of an ack; null where there are none */
export function demoVerdict(
  run: Run,
  verdicts: { roomline: Verdict; atOnce: Verdict; pause: Verdict },
  ack: 'delivered' | 'sent' | null = 'delivered',
): DemoVerdict {
  const roomline = roomlineResult(verdicts.roomline, ack);
  const problems = problemsOf(roomline, run.rooms * run.messagesPerRoom);
  return {
    clean: problems.length === 0,
    problems,
    ...run,
    roomline,
    everythingAtOnce: wayResult(verdicts.atOnce),
    fixedPause: wayResult(verdicts.pause),
  };
}

function wayResult(verdict: Verdict): WayResult {
  return {
    messages: verdict.messages.published,
    durationMs: Math.round(verdict.time.durationMs ?? 0),
    swaps: verdict.swaps.total,
    roomsWithSwaps: verdict.swaps.rooms,
    lost: verdict.messages.lost,
    duplicates: verdict.duplicates.extraReceipts,
  };
}

function roomlineResult(verdict: Verdict, ack: 'delivered' | 'sent' | null): RoomlineResult {
  return {
    ...wayResult(verdict),
    swapsAfterAcked: verdict.swaps.afterAcked,
    swapsAfterAssumed: verdict.swaps.afterAssumed,
    unknownOutcomes: verdict.receipts.unknownOutcomes,
    acksLost: (ack !== null && verdict.faults[`status_lost_${ack}`]) || 0,
    outcomes: verdict.messages.outcomes,
    orderProven: verdict.messages.orderProven,
    violationsR2: violationsOf(verdict, 'R2_'),
    violationsR3: violationsOf(verdict, 'R3_'),
    broken: verdict.broken,
    violations: verdict.violations,
  };
}

function violationsOf({ broken }: Verdict, prefix: string): number {
  return Object.entries(broken).reduce((sum, [rule, times]) => sum + (rule.startsWith(prefix) ? times : 0), 0);
}

/** What keeps a run from being clean, in plain words. */
function problemsOf(result: RoomlineResult, expected: number): string[] {
  const { messages, lost, violationsR2, violationsR3, swapsAfterAcked, duplicates, unknownOutcomes, broken } = result;
  const problems: string[] = [];
  const unless = (fine: boolean, problem: string): void => {
    if (!fine) problems.push(problem);
  };
  unless(messages === expected, `${messages} messages were published, not ${expected}`);
  unless(lost === 0, `${lost} lost`);
  unless(violationsR2 === 0, `${violationsR2} violations of R2 (in order)`);
  unless(violationsR3 === 0, `${violationsR3} violations of R3 (one in flight)`);
  unless(swapsAfterAcked === 0, `${swapsAfterAcked} swaps after an acked message`);
  unless(duplicates <= unknownOutcomes, `${duplicates} duplicates, but only ${unknownOutcomes} unknown outcomes`);
  const told = /^(R1_lost|R2_.*|R3_.*|swap_after_acked)$/;
  for (const [rule, times] of Object.entries(broken)) unless(told.test(rule), `${rule}: ${times}`);
  return problems;
}
