/** Mutants of the core that no test can tell from the original, each with the reason. */

export interface Survivor {
  /** Below src/room. */
  readonly file: string;
  /** The line that it changes, without indentation. */
  readonly line: string;
  /** What it puts in place of a part of that line, up to its first line break. */
  readonly replacement: string;
  readonly reason: string;
}

const EXHAUSTED = 'nothing gets here: the compiler demands every case above';
const NO_OTHER_DEADLINE = 'nothing gets here: these phases have no deadline but the expiry that is decided above';

export const SURVIVORS: readonly Survivor[] = [
  ...['explain.ts', 'invariants.ts', 'transition.ts'].map((file) => ({
    file,
    line: 'default:',
    replacement: 'default:',
    reason: EXHAUSTED,
  })),
  ...["case 'idle':", "case 'ready':", "case 'sending':", "case 'held':"].map((line) => ({
    file: 'transition.ts',
    line,
    replacement: '""',
    reason: `${NO_OTHER_DEADLINE}; of onNack: an idle room has no attempt (I6), which is asked before`,
  })),
  { file: 'transition.ts', line: "case 'held':", replacement: "case 'held':", reason: NO_OTHER_DEADLINE },
  {
    file: 'transition.ts',
    line: "return ignored(room, 'no_deadline');",
    replacement: '""',
    reason: NO_OTHER_DEADLINE,
  },
  {
    file: 'transition.ts',
    line: 'const timerIsDue = room.until !== null && room.until <= now;',
    replacement: 'true',
    reason:
      'waiting without a time is for the channel, which is claimable anyway, or for a pause, which is asked before',
  },
  {
    file: 'transition.ts',
    line: "const definite = ['accepted', 'refused'].includes(room.attempts.at(-1)?.result ?? '');",
    replacement: '"Stryker was here!"',
    reason: 'any text that is no result will do',
  },
  {
    file: 'transition.ts',
    line: 'return late.length === 0 ? decision : { ...decision, effects: [...late, ...decision.effects] };',
    replacement: 'false',
    reason: 'a short cut: with nothing to add the other branch makes an equal decision',
  },
  {
    file: 'effects.ts',
    line: "return room.phase === 'idle' || room.phase === 'ready' || (room.phase === 'waiting' && room.reason === 'channel');",
    replacement: 'true',
    reason: 'only a waiting room has this reason (I3)',
  },
  {
    file: 'room.ts',
    line: 'known.set(envelope.sequence, cancelledBy === envelope.cancelledBy ? envelope : { ...envelope, cancelledBy });',
    replacement: 'false',
    reason: 'a short cut: the copy equals the original',
  },
  {
    file: 'explain.ts',
    line: 'const wished = (headEnvelope(room)?.notBefore ?? 0) > room.gapUntil;',
    replacement: 'headEnvelope(room).notBefore',
    reason: 'a room that waits for a time has a head; where its envelope is not loaded nobody explains it',
  },
  ...['room.attempts.at(-1).code', '""'].map((replacement) => ({
    file: 'explain.ts',
    line: "return room.attempts.at(-1)?.code ?? 'no code';",
    replacement,
    reason: 'whatever leads to these lines ended an attempt, with a code',
  })),
  {
    file: 'explain.ts',
    line: 'const result = room.attempts.at(-1)?.result;',
    replacement: 'room.attempts.at(-1).result',
    reason: 'a room that backs off has made an attempt (I5)',
  },
];
