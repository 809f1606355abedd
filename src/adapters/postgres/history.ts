import {
  ACK_REACH,
  type HistoryEntry,
  type HistoryStore,
  type LateFact,
  type LowerLevels,
  type SettledChange,
  type SettledState,
  type WaitingMessage,
} from '../../engine/ports.ts';
import type { Attempt, RoomAddress } from '../../room/room.ts';
import { bigints, bytes, integers, texts } from './arrays.ts';
import type { Pool } from './pool.ts';
import {
  historyEntry,
  type SettledRecord,
  type SettledStateRecord,
  settledState,
  type WaitingRecord,
  waitingMessage,
} from './rows.ts';
import { STATEMENTS, type Statement, withParts } from './statements.ts';

type Named = LateFact & { readonly fact: Extract<LateFact['fact'], { kind: 'accepted_as' }> };
type Answered = LateFact & { readonly fact: Extract<LateFact['fact'], { kind: 'answered_late' }> };

/** Most late statuses concern what settled not long ago. The partitions of all days are looked through for the others. */
const RECENT_MS = 86_400_000;
const ANY_TIME_MS = Number.MAX_SAFE_INTEGER;

type MessageAddress = RoomAddress & { readonly sequence: number };

export class PostgresHistoryStore implements HistoryStore {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async readSettled(address: RoomAddress, sequence: number): Promise<HistoryEntry | null> {
    const result = await this.#pool.run(STATEMENTS.readSettled, [address.shard, address.id, sequence]);
    const [record] = result.rows as SettledRecord[];
    return record === undefined ? null : historyEntry(record);
  }

  async readWaiting(address: RoomAddress, sequence: number): Promise<WaitingMessage | null> {
    const result = await this.#pool.run(STATEMENTS.readWaiting, [address.shard, address.id, sequence]);
    const [record] = result.rows as WaitingRecord[];
    return record === undefined ? null : waitingMessage(record);
  }

  async readSettledStates(wanted: readonly MessageAddress[]): Promise<(SettledState | null)[]> {
    const recent = await this.#statesOfLast(RECENT_MS, wanted);
    const missing = wanted.filter((_, index) => recent[index] === null);
    if (missing.length === 0) return recent;
    const older = (await this.#statesOfLast(ANY_TIME_MS, missing)).values();
    return recent.map((state) => state ?? older.next().value ?? null);
  }

  async #statesOfLast(ms: number, wanted: readonly MessageAddress[]): Promise<(SettledState | null)[]> {
    const result = await this.#pool.run(STATEMENTS.readSettledStates, [...addresses(wanted), ms]);
    const states: (SettledState | null)[] = wanted.map(() => null);
    for (const record of result.rows as (SettledStateRecord & { readonly ord: number })[]) {
      states[record.ord - 1] = settledState(record);
    }
    return states;
  }

  async updateSettled(changes: readonly SettledChange[]): Promise<boolean[]> {
    const sorted = changes.toSorted((a, b) => byMessage(a.state, b.state));
    const next = sorted.map(({ verdict }) => verdict.next);
    const values: unknown[] = [
      ...revisions(sorted.map(({ state }) => state)),
      texts(next.map(({ outcome }) => outcome)),
      texts(next.map(({ level }) => level)),
      bigints(next.map(({ levelAt }) => levelAt)),
      texts(next.map(({ lateNackCode }) => lateNackCode)),
      ...settledWithin(sorted.map(({ state }) => state)),
    ];
    const dead = sorted.flatMap((change, index) => (change.verdict.deadLetter === null ? [] : [{ index, change }]));
    if (dead.length > 0) {
      values.push(
        integers(dead.map(({ index }) => index + 1)),
        bigints(dead.map(({ change }) => change.at)),
        texts(dead.map(({ change }) => change.verdict.deadLetter)),
        texts(dead.map(({ change }) => change.key.tenant)),
        texts(dead.map(({ change }) => change.key.channel)),
        bytes(
          dead.map(({ change: { fingerprint } }) => (fingerprint === null ? null : Buffer.from(fingerprint, 'hex'))),
        ),
      );
    }
    const statement = withParts(STATEMENTS.updateSettled, dead.length > 0 ? ['buried'] : []);
    const changed = await this.#change(statement, values, sorted);
    return changes.map((change) => changed.has(change));
  }

  async readLowerLevels(wanted: readonly LowerLevels[], limit: number): Promise<SettledState[][]> {
    if (wanted.length === 0) return [];
    const result = await this.#pool.run(STATEMENTS.readLowerLevels, [
      integers(wanted.map(({ shard }) => shard)),
      bigints(wanted.map(({ id }) => id)),
      bigints(wanted.map(({ upTo }) => upTo - ACK_REACH)),
      bigints(wanted.map(({ upTo }) => upTo)),
      texts(wanted.map(({ level }) => level)),
      bigints(wanted.map(({ watermark }) => watermark)),
      limit,
    ]);
    const states: SettledState[][] = wanted.map(() => []);
    for (const record of result.rows as (SettledStateRecord & { readonly ord: number })[]) {
      states[record.ord - 1]?.push(settledState(record));
    }
    return states;
  }

  async recordLate(facts: readonly LateFact[]): Promise<void> {
    const named = facts.filter((late): late is Named => late.fact.kind === 'accepted_as');
    const answered = facts.filter((late): late is Answered => late.fact.kind === 'answered_late');
    if (named.length > 0) await this.#nameMessages(named);
    if (answered.length > 0) await this.#endAttempts(answered);
  }

  async #nameMessages(named: readonly Named[]): Promise<void> {
    await this.#pool.run(STATEMENTS.nameMessages, [
      ...addresses(named.map(({ address, fact }) => ({ ...address, sequence: fact.sequence }))),
      texts(named.map(({ fact }) => fact.platformId)),
    ]);
  }

  /** Reads what the history holds, ends the attempts there, and stores that where nobody else was faster. */
  async #endAttempts(answered: readonly Answered[]): Promise<void> {
    for (let left = [...Map.groupBy(answered, nameOf).values()]; left.length > 0; ) {
      const wanted = left.map(([first]) => ({
        ...(first as Answered).address,
        sequence: (first as Answered).fact.sequence,
      }));
      const states = await this.readSettledStates(wanted);
      // A message that retention has removed has none.
      const found = left.flatMap((late, index) => {
        const state = states[index] ?? null;
        return state === null ? [] : [{ late, state: late.reduce(withAnswer, state) }];
      });
      const stored = await this.#storeAttempts(found.toSorted((a, b) => byMessage(a.state, b.state)));
      left = found.filter((one) => !stored.has(one)).map(({ late }) => late);
    }
  }

  async #storeAttempts<Ended extends { readonly state: SettledState }>(ended: readonly Ended[]): Promise<Set<Ended>> {
    if (ended.length === 0) return new Set();
    const states = ended.map(({ state }) => state);
    const values = [
      ...revisions(states),
      texts(states.map(({ platformId }) => platformId)),
      JSON.stringify(states.map(({ attempts }) => attempts)),
      ...settledWithin(states),
    ];
    return this.#change(STATEMENTS.updateAttempts, values, ended);
  }

  /** @returns those that came about, of what a statement was to change that answers their numbers, from 1 */
  async #change<Item>(statement: Statement, values: readonly unknown[], items: readonly Item[]): Promise<Set<Item>> {
    const { rows } = await this.#pool.run(statement, values);
    return new Set((rows as { readonly ord: number }[]).map(({ ord }) => items[ord - 1] as Item));
  }

  async listRoom(
    address: RoomAddress,
    before: number | null,
    limit: number,
  ): Promise<(HistoryEntry | WaitingMessage)[]> {
    const values = [address.shard, address.id, before ?? Number.MAX_SAFE_INTEGER, limit];
    const result = await this.#pool.run(STATEMENTS.listRoom, values);
    return (result.rows as (SettledRecord | WaitingRecord)[]).map((record) =>
      record.outcome ? historyEntry(record) : waitingMessage(record as WaitingRecord),
    );
  }
}

function withAnswer(state: SettledState, { fact }: Answered): SettledState {
  const attempts = state.attempts.map(
    (attempt): Attempt =>
      attempt.number === fact.attempt && attempt.result === null
        ? { ...attempt, result: fact.result, code: fact.code, endedAt: fact.at }
        : attempt,
  );
  return { ...state, attempts, platformId: state.platformId ?? fact.platformId };
}

function nameOf({ address, fact }: LateFact): string {
  return `${address.id}/${fact.sequence}`;
}

/** The order in which batches lock. */
function byMessage(a: SettledState, b: SettledState): number {
  return a.address.shard - b.address.shard || a.address.id - b.address.id || a.sequence - b.sequence;
}

function addresses(messages: readonly MessageAddress[]): unknown[] {
  return [
    integers(messages.map(({ shard }) => shard)),
    bigints(messages.map(({ id }) => id)),
    bigints(messages.map(({ sequence }) => sequence)),
  ];
}

function revisions(states: readonly SettledState[]): unknown[] {
  return [
    ...addresses(states.map(({ address, sequence }) => ({ ...address, sequence }))),
    bigints(states.map(({ settledAt }) => settledAt)),
    integers(states.map(({ revision }) => revision)),
  ];
}

/** The first time and the last. */
function settledWithin(states: readonly SettledState[]): [number, number] {
  const times = states.map(({ settledAt }) => settledAt);
  return [Math.min(...times), Math.max(...times)];
}
