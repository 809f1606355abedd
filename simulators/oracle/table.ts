import type { CheckResult } from './checks.ts';
import type { Verdict } from './types.ts';

const WORDS = { ok: 'ok', broken: 'BROKEN', not_checked: 'not checked' } as const;

/** A verdict in lines to be read by people. */
export function tableOf({ checks, messages, receipts, duplicates, lateCopies, swaps, clean }: Verdict): string[] {
  return [
    'check  result            looked at  what must hold',
    ...checks.flatMap(linesOf),
    '',
    `${messages.accepted} of ${messages.published} messages accepted, ${messages.lost} lost, ${receipts.total} receipts`,
    `${duplicates.extraReceipts} extra receipts: ${duplicates.because.unknown} after unknown outcomes, ` +
      `${duplicates.because.recorded} after such by the history alone, ${duplicates.because.takenOver} after take-overs, ` +
      `${duplicates.unexplained} unexplained`,
    `${lateCopies.held + lateCopies.stale + lateCopies.first + lateCopies.unexplained} late receipts: ` +
      `${lateCopies.held} held, ${lateCopies.stale} stale, ${lateCopies.first} first ones`,
    `${swaps.total} swaps on phones, ${swaps.afterAcked} after an acked message`,
    clean ? 'CLEAN' : 'NOT CLEAN',
  ];
}

function linesOf({ check, promise, says, result, checked, broken, violations }: CheckResult): string[] {
  const word = broken > 0 ? `${WORDS[result]} ${broken}` : WORDS[result];
  return [
    `${check.padEnd(6)} ${word.padEnd(14)} ${String(checked).padStart(12)}  ${says} (${promise})`,
    ...violations.map(({ rule, room, message, detail }) => {
      const where = room === undefined ? '' : ` room ${room}, message ${message}`;
      return `         ${rule}${where}: ${detail}`;
    }),
  ];
}
