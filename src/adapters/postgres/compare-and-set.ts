/** A batch of room writes as the one statement that stores them, and its answer. */
import { Buffer } from 'node:buffer';
import { fingerprintOfAttempts } from '../../engine/fingerprint.ts';
import type { ClaimProof, InboxAck, RoomWrite, WriteResult } from '../../engine/ports.ts';
import type { Fact, Settled } from '../../room/events.ts';
import { bigints, booleans, bytes, integers, numbers, texts } from './arrays.ts';
import { type AckRecord, inboxAck } from './rows.ts';
import { STATEMENTS, type Statement, withParts } from './statements.ts';

/** A fact and the write it belongs to: `ord` counts the writes of the batch from 1. */
interface Of<F extends Fact> {
  readonly ord: number;
  readonly write: RoomWrite;
  readonly fact: F;
}

type Marked = Extract<Fact, { kind: 'cancel_marked' }>;
type Named = Extract<Fact, { kind: 'accepted_as' }>;

/** compare_and_set.sql with the parts that these writes need, and its parameters. */
export function encodeWrites(
  writes: readonly RoomWrite[],
  proof: ClaimProof | null,
): { readonly statement: Statement; readonly values: unknown[] } {
  const settled: Of<Settled>[] = [];
  const marked: Of<Marked>[] = [];
  const named: Of<Named>[] = [];
  writes.forEach((write, index) => {
    const ord = index + 1;
    for (const fact of write.facts) {
      if (fact.kind === 'settled') settled.push({ ord, write, fact });
      // What settles in the same write leaves the table: there is no row to mark.
      else if (fact.kind === 'cancel_marked' && fact.sequence > write.next.settled) marked.push({ ord, write, fact });
      else if (fact.kind === 'accepted_as') named.push({ ord, write, fact });
    }
  });
  const parts: string[] = [];
  const values: unknown[] = [proof?.worker ?? null, proof?.generation ?? null, ...encodeRooms(writes)];
  if (settled.length > 0) {
    parts.push('settled');
    values.push(...encodeSettled(settled));
  }
  if (marked.length > 0) {
    parts.push('marked');
    values.push(...addressesOf(marked));
    values.push(bigints(marked.map(({ fact }) => fact.sequence)), texts(marked.map(({ fact }) => fact.by)));
  }
  if (named.length > 0) {
    parts.push('named');
    values.push(...addressesOf(named), ...channelsOf(named));
    values.push(bigints(named.map(({ fact }) => fact.sequence)), texts(named.map(({ fact }) => fact.platformId)));
  }
  const buried = settled.filter(({ fact }) => fact.deadLetter);
  if (buried.length > 0) {
    parts.push('buried');
    values.push(integers(buried.map(({ ord }) => ord)), bigints(buried.map(({ fact }) => fact.sequence)));
    values.push(bytes(buried.map(fingerprintOf)));
  }
  return { statement: withParts(STATEMENTS.compareAndSet, parts), values };
}

function fingerprintOf({ write, fact }: Of<Settled>): Buffer | null {
  const fingerprint = fingerprintOfAttempts(write.next.key, fact.attempts);
  return fingerprint === null ? null : Buffer.from(fingerprint, 'hex');
}

function encodeRooms(writes: readonly RoomWrite[]): unknown[] {
  const next = writes.map((write) => write.next);
  return [
    integers(next.map((room) => room.shard)),
    bigints(next.map((room) => room.id)),
    bigints(writes.map((write) => write.expectedVersion)),
    booleans(writes.map((write) => write.claims)),
    bigints(next.map((room) => room.version)),
    texts(next.map((room) => room.phase)),
    bigints(next.map((room) => room.settled)),
    booleans(next.map((room) => room.paused)),
    bigints(next.map((room) => room.since)),
    texts(next.map((room) => room.reason)),
    bigints(next.map((room) => room.until)),
    bigints(next.map((room) => room.gapUntil)),
    bigints(next.map((room) => room.debtUntil)),
    integers(next.map((room) => room.attempt)),
    integers(next.map((room) => room.spent)),
    texts(next.map((room) => room.level)),
    bigints(next.map((room) => room.levelAt)),
    texts(next.map((room) => room.platformId)),
    bigints(next.map((room) => room.platformAt)),
    texts(next.map((room) => room.mark)),
    booleans(next.map((room) => room.bytesLeft)),
    bigints(next.map((room) => room.firstClaimVersion)),
    JSON.stringify(next.map((room) => room.attempts)),
    JSON.stringify(next.map((room) => room.nack)),
  ];
}

function encodeSettled(settled: readonly Of<Settled>[]): unknown[] {
  const facts = settled.map(({ fact }) => fact);
  return [
    ...addressesOf(settled),
    bigints(facts.map((fact) => fact.sequence)),
    texts(facts.map((fact) => fact.outcome)),
    texts(facts.map((fact) => fact.reason)),
    texts(facts.map((fact) => fact.code)),
    bigints(facts.map((fact) => fact.at)),
    bigints(facts.map((fact) => fact.version)),
    bigints(facts.map((fact) => fact.firstClaimVersion)),
    booleans(facts.map((fact) => fact.possiblyDelivered)),
    texts(facts.map((fact) => fact.level)),
    bigints(facts.map((fact) => fact.levelAt)),
    texts(facts.map((fact) => fact.platformId)),
    bigints(facts.map((fact) => fact.platformAt)),
    JSON.stringify(facts.map((fact) => fact.attempts)),
  ];
}

function addressesOf(facts: readonly Of<Fact>[]): unknown[] {
  return [
    integers(facts.map(({ ord }) => ord)),
    integers(facts.map(({ write }) => write.next.shard)),
    bigints(facts.map(({ write }) => write.next.id)),
  ];
}

function channelsOf(facts: readonly Of<Fact>[]): unknown[] {
  return [
    texts(facts.map(({ write }) => write.next.key.tenant)),
    texts(facts.map(({ write }) => write.next.key.channel)),
  ];
}

/** The one row that compare_and_set.sql answers. Arrays as Postgres writes them: `{1,2}`; null where nothing was written. */
export interface AnswerRecord {
  readonly ords: string | null;
  readonly tails: string | null;
  readonly refused: readonly (readonly [ord: number, version: number | null, proved: boolean])[] | null;
  /** Absent where no write made a platform id known. */
  readonly acks?: readonly (AckRecord & { readonly room_id: number })[] | null;
}

/** What became of each write; `gone` where its room has no row. */
export type Answer = WriteResult | { readonly kind: 'gone' };

export function decodeAnswer(writes: readonly RoomWrite[], record: AnswerRecord): Answer[] {
  const answers = new Array<Answer | undefined>(writes.length);
  const acks = new Map<number, InboxAck[]>();
  for (const ack of record.acks ?? []) acks.set(ack.room_id, [...(acks.get(ack.room_id) ?? []), inboxAck(ack)]);
  const tails = numbers(record.tails);
  for (const [index, ord] of numbers(record.ords).entries()) {
    const inbox = acks.get(writes[ord - 1]?.next.id ?? 0) ?? [];
    answers[ord - 1] = { kind: 'committed', tail: tails[index] as number, inbox };
  }
  for (const [ord, version, proved] of record.refused ?? []) {
    answers[ord - 1] = refusal(writes[ord - 1], version, proved);
  }
  return writes.map((_, index): Answer => {
    const answer = answers[index];
    if (answer === undefined) throw new Error(`the batch has no answer for write ${index}`);
    return answer;
  });
}

function refusal(write: RoomWrite | undefined, version: number | null, proved: boolean): Answer {
  if (!proved) return { kind: 'fenced' };
  if (version === null) return { kind: 'gone' };
  return { kind: version === write?.expectedVersion ? 'busy' : 'conflict' };
}
