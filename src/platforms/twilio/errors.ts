/** What Twilio's error codes mean for a room: the table of docs/channels/twilio.md. */
import type { Nack, Scope } from '../../room/room.ts';

interface Meaning {
  readonly permanent: boolean;
  readonly scope: Scope;
  /** The wait that the code itself stands for. */
  readonly waitMs: number | null;
}

function meaning(permanent: boolean, scope: Scope, waitMs: number | null = null): Meaning {
  return { permanent, scope, waitMs };
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

/** It will never be delivered as it is. */
const NEVER = meaning(true, 'message');
/** Nothing from this sender will reach this person. */
const NEVER_HERE = meaning(true, 'room');
const LATER = meaning(false, 'message');
/** The phone is off or away: seconds change nothing. */
const LATER_A_MINUTE = meaning(false, 'message', MINUTE_MS);
/** A carrier's limit: it concerns those who use the carrier. Waits use up no attempt. */
const CARRIER_SLOWED = meaning(false, 'room', MINUTE_MS);
const CARRIER_FULL_TODAY = meaning(false, 'room', HOUR_MS);
/** Every message of the sender, or of its account, would fare alike: a person has to act. */
const SENDER_STOPPED = meaning(true, 'channel');
const ACCOUNT_STOPPED = meaning(true, 'account');
const SENDER_SLOWED = meaning(false, 'channel');
const ACCOUNT_SLOWED = meaning(false, 'account');
const ACCOUNT_FULL_TODAY = meaning(false, 'account', HOUR_MS);

const MEANINGS: ReadonlyMap<number, Meaning> = new Map<number, Meaning>([
  // Who asks. A key may be wrong while others of the account are right; an account that is not active has no right one.
  ...each([20003, 20006, 20403, 20404], SENDER_STOPPED),
  ...each([20005, 20010, 30002, 63020], ACCOUNT_STOPPED),
  // The sender, its messaging service, its entry in Twilio's channels, or the callback that we gave.
  ...each([21212, 21601, 21603, 21609, 21660, 21701, 21702, 21703, 21704, 21705], SENDER_STOPPED),
  ...each([63001, 63002, 63007, 63008, 63022], SENDER_STOPPED),

  // Limits. A full queue holds ten hours: there is room again for as much as leaves it.
  ...each([20429, 14107, 21611, 30001, 63018], SENDER_SLOWED),
  [63017, ACCOUNT_SLOWED],
  [63038, ACCOUNT_FULL_TODAY],
  ...each([30017, 30022], CARRIER_SLOWED),
  ...each([30023, 30027], CARRIER_FULL_TODAY),

  // Faults that may pass.
  [30003, LATER_A_MINUTE],
  ...each([30008, 30021, 30410, 63009, 63010, 63011, 63012, 63019, 63023, 63037], LATER),

  // The recipient, or this recipient from this sender.
  ...each([21211, 21214, 21217, 21219, 21408, 21604, 21606, 21607, 21608, 21610, 21612, 21614, 21635], NEVER_HERE),
  ...each([21659, 21910, 30004, 30005, 30006, 30016, 30018, 30024, 30032, 30034], NEVER_HERE),
  ...each([63003, 63015, 63024, 63031, 63032, 63033, 63035, 63036], NEVER_HERE),

  // What was to be sent.
  ...each([20001, 20422, 21602, 21605, 21616, 21617, 21618, 21619, 21620, 21621, 21622, 21623, 21624], NEVER),
  ...each([21627, 21654, 21655, 21656, 11751], NEVER),
  ...each([30007, 30010, 30011, 30012, 30013, 30014, 30015, 30019, 30028, 30029, 30030, 30031, 30036, 30400], NEVER),
  ...each([63005, 63006, 63013, 63016, 63021, 63026, 63027, 63028, 63029, 63030, 63034, 63040, 63041], NEVER),
]);

function each(codes: readonly number[], means: Meaning): [number, Meaning][] {
  return codes.map((code) => [code, means]);
}

/** The codes of the table, for its tests and its page. */
export function knownCodes(): readonly number[] {
  return [...MEANINGS.keys()];
}

/**
 * A code in the answer to a send. One that this table lacks was a refusal all the same; retries of one message are
 * bounded, and Twilio adds codes without notice.
 * @param askedMs the wait that the answer's headers ask for
 */
export function nackOfAnswer(code: number, askedMs: number | null): Nack {
  return nack(code, MEANINGS.get(code) ?? LATER, askedMs);
}

/** A code of a failed message; where it is unknown, the message has failed for good. */
export function nackOfStatus(code: number): Nack {
  return nack(code, MEANINGS.get(code) ?? NEVER, null);
}

function nack(code: number, { permanent, scope, waitMs }: Meaning, askedMs: number | null): Nack {
  return { permanent, scope, retryAfterMs: permanent ? null : (askedMs ?? waitMs), code: String(code) };
}

/** `21211`, as a number or in digits. */
export function readErrorCode(value: unknown): number | null {
  const code = typeof value === 'string' && /^\d{1,6}$/.test(value) ? Number(value) : value;
  return typeof code === 'number' && Number.isSafeInteger(code) && code > 0 && code < 1_000_000 ? code : null;
}
