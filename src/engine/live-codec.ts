/** What processes tell each other of the live feed, as texts. Whatever else comes reads as null. */
import { ACK_LEVELS, OUTCOMES } from '../room/room.ts';
import { CHANNEL_STATES } from '../telemetry.ts';
import type { Interest, LiveBatch, LiveChannel, LivePart, Settlement, SettlementFilter } from './live-ports.ts';
import { STAGES } from './pipeline-ports.ts';

/** Raised when the form changes: processes of another one are not understood. */
const FORM = 1;
/** Characters: more than a full batch makes. */
const LONGEST = 4 * 1_048_576;

interface From {
  /** Names the process that tells it, in this life. */
  readonly teller: string;
}

export function encodeInterest(teller: string, interest: Interest | null): string {
  return JSON.stringify([FORM, teller, interest]);
}

export function decodeInterest(text: string): (From & { readonly interest: Interest | null }) | null {
  const [teller, interest] = partsOf(text) ?? [];
  if (typeof teller !== 'string') return null;
  if (interest === null) return { teller, interest };
  return isInterest(interest) ? { teller, interest } : null;
}

/** @param number ascends by one with every batch of the process */
export function encodeBatch(teller: string, number: number, { dropped, part, settlements }: LiveBatch): string {
  return JSON.stringify([FORM, teller, number, dropped, settlements, ...(part === undefined ? [] : [part])]);
}

export function decodeBatch(text: string): (From & { readonly number: number; readonly batch: LiveBatch }) | null {
  const parts = partsOf(text);
  if (parts === null) return null;
  const [teller, number, dropped, settlements, part] = parts;
  if (typeof teller !== 'string' || !isCount(number) || !isCount(dropped)) return null;
  if (!isListOf(settlements, isSettlement)) return null;
  if (parts.length === 4) return { teller, number, batch: { dropped, settlements } };
  if (part !== null && !isPart(part)) return null;
  return { teller, number, batch: { dropped, part, settlements } };
}

function partsOf(text: string): readonly unknown[] | null {
  if (text.length > LONGEST) return null;
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) && parsed[0] === FORM ? parsed.slice(1) : null;
  } catch {
    return null;
  }
}

function isInterest(value: unknown): value is Interest {
  const { totals, settlements } = membersOf(value);
  return typeof totals === 'boolean' && isListOf(settlements, isFilter);
}

function isFilter(value: unknown): value is SettlementFilter {
  const { kinds, tenants, channel, room } = membersOf(value);
  if (!isListOf(kinds, (kind) => kind === 'settled' || kind === 'failed')) return false;
  return (tenants === null || isListOf(tenants, isText)) && isTextOrNull(channel) && isTextOrNull(room);
}

function isSettlement(value: unknown): value is Settlement {
  const one = membersOf(value);
  const room = membersOf(one.room);
  return (
    (one.kind === 'settled' || one.kind === 'failed') &&
    [one.id, one.reason, room.tenant, room.channel, room.room].every(isText) &&
    [one.messageId, one.code].every(isTextOrNull) &&
    [one.sequence, one.attempts, one.at].every(isNumber) &&
    [one.possiblyDelivered, one.late].every((flag) => typeof flag === 'boolean') &&
    isOneOf(OUTCOMES, one.outcome) &&
    isOneOf(ACK_LEVELS, one.level)
  );
}

function isPart(value: unknown): value is LivePart {
  const { worker, asOf, readAt, shards, intake, openSends, channels } = membersOf(value);
  return isText(worker) && [asOf, readAt, shards, intake, openSends].every(isNumber) && isListOf(channels, isChannel);
}

function isChannel(value: unknown): value is LiveChannel {
  const one = membersOf(value);
  const { accepted, settled, failed } = membersOf(one.lastMinute);
  return (
    [one.tenant, one.channel].every(isText) &&
    [one.rooms, one.messages].every((counts) => isListOf(counts, isNumber) && counts.length === STAGES.length) &&
    [one.totals, one.gaps].every((counts) => isListOf(counts, isNumber)) &&
    [one.permitQueue, accepted, settled, failed].every(isNumber) &&
    (one.condition === null || isCondition(one.condition))
  );
}

function isCondition(value: unknown): boolean {
  const { state, reason, until, ackTimeoutMs } = membersOf(value);
  const timed = (until === null || isNumber(until)) && isNumber(ackTimeoutMs);
  return timed && isTextOrNull(reason) && isOneOf(CHANNEL_STATES, state);
}

function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function isListOf<T>(value: unknown, isItem: (item: unknown) => item is T): value is T[];
function isListOf(value: unknown, isItem: (item: unknown) => boolean): value is unknown[];
function isListOf(value: unknown, isItem: (item: unknown) => boolean): value is unknown[] {
  return Array.isArray(value) && value.every((item) => isItem(item));
}

function isOneOf<T extends string>(known: readonly T[], value: unknown): value is T {
  return known.some((each) => each === value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
