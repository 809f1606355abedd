/** What the Cloud API's error codes mean for a room: the table of docs/channels/whatsapp.md. */
import type { Nack, Scope } from '../../room/room.ts';
import type { GraphError } from '../meta/error.ts';

interface Meaning {
  readonly permanent: boolean;
  readonly scope: Scope;
  /** The wait that the code itself stands for. */
  readonly waitMs: number | null;
  /** Says so little that a 5xx with it may have been accepted all the same. */
  readonly vague: boolean;
}

function meaning(permanent: boolean, scope: Scope, waitMs: number | null = null, vague = false): Meaning {
  return { permanent, scope, waitMs, vague };
}

/** It will never be delivered as it is. */
const NEVER = meaning(true, 'message');
const LATER = meaning(false, 'message');
/** Every message of the sender, or of its account, would fare alike: a person has to act. */
const SENDER_STOPPED = meaning(true, 'channel');
const ACCOUNT_STOPPED = meaning(true, 'account');
const SENDER_SLOWED = meaning(false, 'channel');
const ACCOUNT_SLOWED = meaning(false, 'account');
const MAYBE_THIS_ONE = meaning(false, 'message', null, true);
const SERVICE_DOWN = meaning(false, 'channel', null, true);

const MEANINGS: ReadonlyMap<number, Meaning> = new Map<number, Meaning>([
  // Who asks: token, permissions, account.
  ...each([0, 3, 10, 102, 190, 131005], ACCOUNT_STOPPED),
  ...each([368, 131031, 131042], ACCOUNT_STOPPED),
  // The business number: deleted, name not approved, certificate, not verified, not registered.
  ...each([33, 131037, 131045, 133006, 133010], SENDER_STOPPED),
  // There is nothing at the path: the number's id or the version in the configuration is wrong.
  ...each([803, 2500], SENDER_STOPPED),

  // Limits.
  ...each([4, 613, 80007], ACCOUNT_SLOWED),
  ...each([130429, 133016], SENDER_SLOWED),
  // Too many to one user. No wait: the policy's back-off with factor 4 is Meta's 4^X seconds.
  [131056, meaning(false, 'room')],
  // Restricted because users complained: asking often makes it worse.
  [131048, meaning(false, 'channel', 900_000)],
  // Throughput is being raised, which takes up to a minute; a number deleted a moment ago takes five.
  [131057, meaning(false, 'channel', 60_000)],
  [133015, meaning(false, 'channel', 300_000)],

  // Faults of the platform.
  ...each([1, 131000], MAYBE_THIS_ONE),
  ...each([2, 131016, 133004], SERVICE_DOWN),
  // The media could not be fetched; the template's flow is throttled.
  ...each([131053, 132069], LATER),

  // The message or its recipient.
  ...each([100, 131001, 131002, 131006, 131008, 131009, 131021, 131051, 131055, 131060, 135000], NEVER),
  ...each([130472, 130497, 131026, 131030, 131043, 131047, 131049, 131050, 131052, 134011], NEVER),
  ...each([132000, 132001, 132005, 132007, 132012, 132015, 132016, 132068], NEVER),
]);

function each(codes: readonly number[], means: Meaning): [number, Meaning][] {
  return codes.map((code) => [code, means]);
}

function find(code: number): Meaning | undefined {
  const known = MEANINGS.get(code);
  if (known !== undefined) return known;
  if (code >= 200 && code <= 299) return ACCOUNT_STOPPED;
  // Templates, those problems too that are newer than this table.
  return code >= 132_000 && code <= 132_999 ? NEVER : undefined;
}

/** The codes of the table, for its tests and its page. */
export function knownCodes(): readonly number[] {
  return [...MEANINGS.keys()];
}

/** With code 100: not a parameter is wrong but the number's id, or the token may not see it. */
const NO_SUCH_SENDER = 33;

/**
 * An error in the answer to a send. Null where the message may have been accepted all the same: a server's fault with a
 * code that names no reason, or with one that this table lacks.
 * @param askedMs the wait that the answer's headers ask for
 */
export function nackOfAnswer({ code, subcode }: GraphError, status: number, askedMs: number | null): Nack | null {
  const means = code === 100 && subcode === NO_SUCH_SENDER ? SENDER_STOPPED : find(code);
  if (status >= 500 && (means === undefined || means.vague)) return null;
  // An unknown code without a server's fault was a refusal; retries of one message are bounded.
  return nack(code, means ?? LATER, askedMs);
}

/** A code of a `failed` status; where it is unknown, the message has failed for good. */
export function nackOfStatus(code: number): Nack {
  return nack(code, find(code) ?? NEVER, null);
}

function nack(code: number, { permanent, scope, waitMs }: Meaning, askedMs: number | null): Nack {
  const wide = scope === 'channel' || scope === 'account';
  const retryAfterMs = permanent ? null : ((wide ? askedMs : null) ?? waitMs);
  return { permanent, scope, retryAfterMs, code: String(code) };
}
