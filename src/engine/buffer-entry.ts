/**
 * Entries of the buffer: how a checked message is written into one, how one is read, whoever wrote it, and which
 * partition is the right one. All of it is documented for those who write entries themselves (docs/buffering.md).
 */
import { hash } from 'node:crypto';
import { RoomlineError } from '../errors.ts';
import type { RoomKey } from '../room/room.ts';
import type { BufferEntry, EntryId, NewEntry } from './buffer-ports.ts';
import {
  checkId,
  DEFAULT_TENANT,
  type FindChannel,
  MESSAGE_LIMITS,
  type NewMessageDraft,
  parseMessage,
  splitBody,
  stampWith,
} from './message.ts';
import type { NewMessage } from './ports.ts';

/** The first 4 bytes of the SHA-256 of tenant, channel and room, each but the last followed by a line feed, modulo. */
export function partitionOf({ tenant, channel, room }: RoomKey, partitions: number): number {
  return hash('sha256', `${tenant}\n${channel}\n${room}`, 'buffer').readUInt32BE(0) % partitions;
}

/** @param messageId of the message where it names none itself */
export function writeEntry(draft: NewMessageDraft, messageId: string): NewEntry {
  const { body, requestId } = splitBody(draft.body);
  const { tenant, channel, room } = draft.key;
  const fields: Record<string, unknown> = { channel, room };
  if (tenant !== DEFAULT_TENANT) fields.tenant = tenant;
  for (const name of OPTIONAL) {
    const value = draft[name];
    if (value !== null && value !== undefined) fields[name] = value;
  }
  // The body is `{"to":…,"content":…}` already.
  const before = `${JSON.stringify(fields).slice(0, -1)},`;
  const message = Buffer.concat([Buffer.from(before), body.subarray(1)]);
  return { message, messageId, requestId, channel: { tenant, channel } };
}

const OPTIONAL = [
  'messageId',
  'order',
  'notBefore',
  'expiresAt',
  'ackTimeoutMs',
  'failurePolicy',
  'supersedes',
] as const;

export interface EntryRules {
  readonly partition: number;
  readonly partitions: number;
  readonly findChannel: FindChannel;
  /** Gives a checked draft what intake adds to it. */
  readonly admit: (draft: NewMessageDraft, fallbackId: string) => NewMessage;
}

/** The message of an entry, or why it is none. */
export function readEntry(entry: BufferEntry, rules: EntryRules): NewMessage | RoomlineError {
  try {
    return read(entry, rules);
  } catch (error) {
    if (error instanceof RoomlineError) return error;
    throw error;
  }
}

function read(entry: BufferEntry, rules: EntryRules): NewMessage {
  const { draft, fallbackId } = draftIn(entry, rules);
  return rules.admit(draft, fallbackId);
}

/** A message as its entry says it, whether or not its channel is there; null where the entry is no message. */
export function peekAtEntry(
  entry: BufferEntry,
  place: Pick<EntryRules, 'partition' | 'partitions'>,
): (NewMessageDraft & { readonly messageId: string }) | null {
  try {
    const { draft, fallbackId } = draftIn(entry, { ...place, findChannel: () => ({ checkContent: null }) });
    return { ...draft, messageId: draft.messageId ?? fallbackId };
  } catch (error) {
    if (error instanceof RoomlineError) return null;
    throw error;
  }
}

interface NamedDraft {
  readonly draft: NewMessageDraft;
  readonly fallbackId: string;
}

function draftIn(entry: BufferEntry, { partition, partitions, findChannel }: Omit<EntryRules, 'admit'>): NamedDraft {
  if (entry.bytes === null) throw new RoomlineError('field_missing', { field: 'message', rule: 'required' });
  if (entry.message === null) {
    throw new RoomlineError('body_too_large', { rule: `at most ${MESSAGE_LIMITS.maxBytes} bytes` });
  }
  const parsed = parseMessage(entry.message, MESSAGE_LIMITS, findChannel);
  if ('error' in parsed) throw parsed.error;
  const right = partitionOf(parsed.ok.key, partitions);
  if (right !== partition) {
    const detail = `The room belongs to partition ${right}, and the entry is in ${partition}`;
    throw new RoomlineError('partition_mismatch', { rule: `the partition of the room, of ${partitions}`, detail });
  }
  const draft = entry.requestId === null ? parsed.ok : stampWith(requestIdOf(entry.requestId))(parsed.ok);
  const fallbackId =
    entry.messageId === null ? `buffer:${partition}:${entry.id}` : checkId('messageId', entry.messageId);
  return { draft, fallbackId };
}

/** Whether the text may be the id of a request; whoever writes entries may write anything. */
export function isRequestId(text: string | null): text is string {
  return text !== null && /^[\w.:-]{1,64}$/.test(text);
}

function requestIdOf(text: string): string {
  if (isRequestId(text)) return text;
  throw new RoomlineError('field_invalid', { field: 'requestId', rule: '1 to 64 of A-Z a-z 0-9 _ . : -' });
}

/** Where an entry was appended. */
export interface EntryPlace {
  readonly partition: number;
  readonly entry: EntryId;
}

const NUMBER = '(?:0|[1-9][0-9]{0,19})';
/** What `nameOfPlace` gives. */
export const PLACE = `^(?:0|[1-9][0-9]{0,2})\\.${NUMBER}-${NUMBER}$`;

/** The place as one text that says nothing to whoever passes it on. */
export function nameOfPlace({ partition, entry }: EntryPlace): string {
  return `${partition}.${entry}`;
}

/** @param name of the pattern `PLACE` @throws RoomlineError `field_invalid` */
export function placeNamed(name: string): EntryPlace {
  const [partition = '', entry = ''] = name.split('.');
  const inRange = entry.split('-').every((part) => BigInt.asUintN(64, BigInt(part)) === BigInt(part));
  if (inRange) return { partition: Number(partition), entry };
  throw new RoomlineError('field_invalid', { field: 'entry', rule: 'as the status link has it' });
}
