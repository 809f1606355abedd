/** A batch of room writes as the one statement that stores them, and its answer. */
import type { ClaimProof, InboxAck, RoomWrite, WriteResult } from '../../engine/ports.ts';
import type { Fact, Settled } from '../../room/events.ts';
import { bigints, booleans, integers, texts } from './arrays.ts';
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
  if (settled.some(({ fact }) => fact.deadLetter)) parts.push('buried');
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
  return { statement: withParts(STATEMENTS.compareAndSet, parts), values };
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
    booleans(facts.map((fact) => fact.deadLetter)),
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

/** A row that compare_and_set.sql answers: of a write that was stored, of one that was not, or an ack. */
export interface AnswerRecord extends Partial<AckRecord> {
  readonly ord: number | null;
  readonly tail: number | null;
  readonly version: number | null;
  readonly proved: boolean | null;
  readonly room_id: number | null;
}

/** What became of each write; `gone` where its room has no row. */
export type Answer = WriteResult | { readonly kind: 'gone' };

export function decodeAnswers(writes: readonly RoomWrite[], records: readonly AnswerRecord[]): Answer[] {
  const acks = new Map<number, InboxAck[]>();
  const byOrd: (AnswerRecord | undefined)[] = [];
  for (const record of records) {
    if (record.ord !== null) byOrd[record.ord - 1] = record;
    else
      acks.set(record.room_id as number, [
        ...(acks.get(record.room_id as number) ?? []),
        inboxAck(record as AckRecord),
      ]);
  }
  return writes.map((write, index): Answer => {
    const record = byOrd[index];
    if (record === undefined) throw new Error(`the batch has no answer for write ${index}`);
    if (record.tail !== null) return { kind: 'committed', tail: record.tail, inbox: acks.get(write.next.id) ?? [] };
    if (record.proved === false) return { kind: 'fenced' };
    if (record.version === null) return { kind: 'gone' };
    return { kind: record.version === write.expectedVersion ? 'busy' : 'conflict' };
  });
}
