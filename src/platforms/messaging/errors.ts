/**
 * What the error codes of the Send API mean for a room: the tables of docs/channels/messenger.md and instagram.md. Some
 * codes stand for several things, and only the subcode tells which.
 */
import type { Nack, Scope } from '../../room/room.ts';
import type { GraphError } from '../meta/error.ts';

interface Meaning {
  readonly permanent: boolean;
  readonly scope: Scope;
  /** Says so little that a 5xx with it may have been accepted all the same. */
  readonly vague: boolean;
}

function meaning(permanent: boolean, scope: Scope, vague = false): Meaning {
  return { permanent, scope, vague };
}

/** It will never be delivered as it is. */
const NEVER = meaning(true, 'message');
/** Attempts of one message are bounded, so that these are, too. */
const LATER = meaning(false, 'message');
const MAYBE_THIS_ONE = meaning(false, 'message', true);
const SLOWED = meaning(false, 'channel');
/** Every message of the page or account would fare alike: a person has to act. */
const STOPPED = meaning(true, 'channel');

/** By code, or by code and subcode where that says more. */
const MEANINGS: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  // Who asks: token, permissions, a page that does not exist, a block for what was sent before.
  ...each(['3', '10', '102', '190', '368', '803', '2022', '2500', '100/33'], STOPPED),

  // Limits: of the app, of the page, of the messaging account.
  ...each(['4', '17', '32', '341', '613', '80002', '80006'], SLOWED),

  // Faults of the platform. 2 is also said about people who blocked the page.
  ...each(['1', '2'], MAYBE_THIS_ONE),
  ['1200', LATER],
  // What was to be sent along could not be fetched or stored in time.
  ...each(['100/2018008', '100/2018047', '100/2018294'], LATER),

  // The person: out of the window, gone, not receiving, not one of those that an unpublished app may write to.
  ...each(['10/2018065', '10/2018108', '10/2018278', '10/2534022'], NEVER),
  ...each(['200/1545041', '200/2018028', '230', '551', '10903'], NEVER),
  // The message.
  ...each(['100', '105', '194'], NEVER),
]);

function each(codes: readonly string[], means: Meaning): [string, Meaning][] {
  return codes.map((code) => [code, means]);
}

/** The codes of the table, for its tests and its pages. */
export function knownCodes(): readonly string[] {
  return [...MEANINGS.keys()];
}

function find({ code, subcode }: GraphError): Meaning | undefined {
  const known = MEANINGS.get(`${code}/${subcode}`) ?? MEANINGS.get(String(code));
  if (known !== undefined) return known;
  return code >= 200 && code <= 299 ? STOPPED : undefined;
}

/**
 * An error in the answer to a send. Null where the message may have been accepted all the same: a server's fault with a
 * code that names no reason, or with one that this table lacks.
 * @param askedMs the wait that the answer's headers ask for
 */
export function nackOfAnswer(error: GraphError, status: number, askedMs: number | null): Nack | null {
  const means = find(error);
  if (status >= 500 && (means === undefined || means.vague)) return null;
  // An unknown code without a server's fault was a refusal; retries of one message are bounded.
  const { permanent, scope } = means ?? LATER;
  const retryAfterMs = !permanent && scope === 'channel' ? askedMs : null;
  return { permanent, scope, retryAfterMs, code: codeOf(error) };
}

/** As Meta's tables write it: `10/2018278`. */
export function codeOf({ code, subcode }: GraphError): string {
  return subcode === null ? String(code) : `${code}/${subcode}`;
}
