/**
 * What operators do with dead letters: look, replay, discard. A replay appends new messages at the tails of their rooms,
 * those of a room in their original order. Its message id names what it replays: replaying twice appends once.
 */
import { RoomlineError } from '../errors.ts';
import type { RoomKey } from '../room/room.ts';
import type { Actor } from './fleet-operations.ts';
import type { Refused } from './intake.ts';
import {
  addresseeOf,
  contentDigest,
  type FindChannel,
  MESSAGE_LIMITS,
  type NewMessageDraft,
  parseMessage,
  splitBody,
  stampWith,
} from './message.ts';
import type {
  AuditStore,
  LetterFilter,
  LetterPage,
  LetterPayload,
  LetterPlace,
  LetterStore,
  StoredLetter,
} from './operator-ports.ts';
import { channelName } from './policy.ts';
import type { Clock, HistoryStore, IntakeResult } from './ports.ts';
import type { References } from './reference.ts';

export interface DeadLetterDependencies {
  readonly letters: LetterStore;
  readonly history: Pick<HistoryStore, 'readSettled'>;
  readonly references: References;
  readonly audit: Pick<AuditStore, 'record'>;
  readonly findChannel: FindChannel;
  /** As one unit of work; numbers the messages of a room in the order of the drafts. */
  readonly publish: (drafts: readonly NewMessageDraft[]) => Promise<readonly (IntakeResult | Refused)[]>;
  readonly clock: Pick<Clock, 'now'>;
}

/** Letters that one call replays or discards. */
export const MAX_LETTERS = 1_000;
/** Pages that a selection looks at, each of many letters. */
const MAX_PAGES = 200;
const READS_AT_ONCE = 4;
/** Payloads may be as large as the queue allows. */
const LETTERS_AT_ONCE = 8;
/** Of all that one call replays. */
const MAX_BYTES = 64 * 1_048_576;

export type LetterSelection =
  | { readonly ids: readonly number[] }
  /** The oldest ones that are open. */
  | { readonly filter: LetterFilter; readonly limit: number };

export interface LetterWishes {
  /** The operator's own words, for the audit. */
  readonly reason: string | null;
  /** Only says what would happen. */
  readonly dryRun: boolean;
  /** The letters of a tenant are there for whoever asks; null: payloads that never came to a channel. */
  readonly visible: (tenant: string | null) => boolean;
}

export interface NamedMessage {
  readonly reference: string;
  readonly sequence: number;
}

export interface ReplayedLetter {
  readonly id: number;
  /** `replayable`: a dry run found nothing against it. `already`: before, with the same link. */
  readonly result: 'replayed' | 'replayable' | 'already' | 'refused';
  /** Null of a payload that never had one. */
  readonly from: NamedMessage | null;
  readonly to: NamedMessage | null;
  /** Null where the payload does not tell it. */
  readonly key: RoomKey | null;
  readonly possiblyDelivered: boolean;
  readonly error: RoomlineError | null;
}

export interface Replay {
  /** In the order of the replay. */
  readonly letters: readonly ReplayedLetter[];
  /** A selection by filter ended at its limit: there may be more. */
  readonly more: boolean;
}

export interface Discarded {
  readonly discarded: readonly number[];
  readonly refused: readonly { readonly id: number; readonly error: RoomlineError }[];
  readonly more: boolean;
}

type ReadLetter = StoredLetter & { readonly refused: LetterPayload | null };

interface Candidate {
  readonly letter: ReadLetter;
  readonly draft: NewMessageDraft | RoomlineError;
  readonly key: RoomKey | null;
  readonly possiblyDelivered: boolean;
}

export class DeadLetters {
  readonly #to: DeadLetterDependencies;

  constructor(dependencies: DeadLetterDependencies) {
    this.#to = dependencies;
  }

  list(filter: LetterFilter, after: LetterPlace | null, limit: number): Promise<LetterPage> {
    return this.#to.letters.page(filter, 'newest', after, limit);
  }

  /** @throws RoomlineError `dead_letter_not_found` */
  async find(id: number, visible: LetterWishes['visible']): Promise<ReadLetter> {
    const [letter] = await this.#to.letters.read([id]);
    if (letter === undefined || !visible(letter.tenant)) throw new RoomlineError('dead_letter_not_found');
    return letter;
  }

  /** The message of a letter as its reference names it; null of a payload. */
  referenceOf({ address, sequence }: StoredLetter): string | null {
    return address === null || sequence === null ? null : this.#to.references.encode(address, sequence);
  }

  linkOf({ replayedAs }: StoredLetter): NamedMessage | null {
    if (replayedAs === null) return null;
    const { address, sequence } = replayedAs;
    return { reference: this.#to.references.encode(address, sequence), sequence };
  }

  /** @param corrected takes the place of the payload of the one letter that is selected */
  async replay(
    selection: LetterSelection,
    wishes: LetterWishes,
    by: Actor,
    corrected: Uint8Array | null = null,
  ): Promise<Replay> {
    const { ids, more } = await this.#select(selection);
    const { found, missing } = await this.#read(ids, wishes.visible, true);
    if (corrected !== null && found.some(({ refused }) => refused === null)) {
      throw new RoomlineError('field_invalid', { field: 'message', rule: 'only for a payload that intake refused' });
    }
    const candidates = inOrder(await this.#prepare(found, corrected, by.requestId));
    const unknown = missing.map((id): ReplayedLetter => refusal({ id }, new RoomlineError('dead_letter_not_found')));
    const letters = wishes.dryRun
      ? candidates.map((candidate) => this.#foresee(candidate))
      : await this.#publish(candidates, wishes.reason, by);
    return { letters: [...letters, ...unknown], more };
  }

  async discard(selection: LetterSelection, wishes: LetterWishes, by: Actor): Promise<Discarded> {
    const { ids, more } = await this.#select(selection);
    const { found, missing } = await this.#read(ids, wishes.visible, false);
    const open = found.filter(({ state }) => state === 'open').map(({ id }) => id);
    const refused = [
      ...missing.map((id) => ({ id, error: new RoomlineError('dead_letter_not_found') })),
      ...found.filter(({ state }) => state === 'replayed').map(({ id }) => ({ id, error: closedAs('replayed') })),
    ];
    const discarded = found.filter(({ state }) => state === 'discarded').map(({ id }) => id);
    if (wishes.dryRun) return { discarded: [...discarded, ...open], refused, more };
    const note = { ...by, action: 'dead_letter.discard', ...noteOf(open, found, wishes.reason) };
    const closed = new Set(await this.#to.letters.discard(open, this.#to.clock.now(), note));
    for (const id of open) {
      if (closed.has(id)) discarded.push(id);
      else refused.push({ id, error: closedAs('replayed') });
    }
    return { discarded, refused, more };
  }

  async #select(selection: LetterSelection): Promise<{ readonly ids: readonly number[]; readonly more: boolean }> {
    if ('ids' in selection) return { ids: [...new Set(selection.ids)], more: false };
    const { limit } = selection;
    const filter: LetterFilter = { ...selection.filter, state: 'open' };
    const ids: number[] = [];
    let after: LetterPlace | null = null;
    for (let pages = 0; pages < MAX_PAGES; pages++) {
      const page = await this.#to.letters.page(filter, 'oldest', after, limit - ids.length);
      ids.push(...page.letters.map(({ id }) => id));
      after = page.next;
      if (after === null) return { ids, more: false };
      if (ids.length === limit) return { ids, more: true };
    }
    return { ids, more: true };
  }

  /**
   * @param kept whether payloads are wanted
   * @throws RoomlineError `batch_too_large`
   */
  async #read(
    ids: readonly number[],
    visible: LetterWishes['visible'],
    kept: boolean,
  ): Promise<{ readonly found: readonly ReadLetter[]; readonly missing: readonly number[] }> {
    const found: ReadLetter[] = [];
    const budget = new Budget();
    for (let begin = 0; begin < ids.length; begin += LETTERS_AT_ONCE) {
      for (const letter of await this.#to.letters.read(ids.slice(begin, begin + LETTERS_AT_ONCE))) {
        if (!visible(letter.tenant)) continue;
        if (kept) budget.take(letter.refused?.payload);
        found.push(kept ? letter : { ...letter, refused: null });
      }
    }
    const known = new Set(found.map(({ id }) => id));
    return { found, missing: ids.filter((id) => !known.has(id)) };
  }

  async #prepare(
    letters: readonly ReadLetter[],
    corrected: Uint8Array | null,
    requestId: string,
  ): Promise<readonly Candidate[]> {
    const candidates: Candidate[] = [];
    const budget = new Budget();
    for (let begin = 0; begin < letters.length; begin += READS_AT_ONCE) {
      const some = letters.slice(begin, begin + READS_AT_ONCE);
      for (const candidate of await Promise.all(some.map((letter) => this.#candidate(letter, corrected, requestId)))) {
        if (!(candidate.draft instanceof RoomlineError)) budget.take(candidate.draft.body);
        candidates.push(candidate);
      }
    }
    return candidates;
  }

  async #candidate(letter: ReadLetter, corrected: Uint8Array | null, requestId: string): Promise<Candidate> {
    const { address, sequence, refused } = letter;
    const stamp = stampWith(requestId);
    if (refused !== null) {
      const parsed = parseMessage(corrected ?? refused.payload, MESSAGE_LIMITS, this.#to.findChannel);
      if ('error' in parsed) return { letter, draft: parsed.error, key: null, possiblyDelivered: false };
      // Like every replay it goes to the tail, whatever its publisher's order was.
      const { order: _order, ...ok } = parsed.ok;
      const messageId = ok.messageId ?? `letter:${letter.id}`;
      const draft = stamp({ ...ok, messageId, digest: contentDigest(ok.body) });
      return { letter, draft: closed(letter) ?? draft, key: ok.key, possiblyDelivered: false };
    }
    const entry = address === null || sequence === null ? null : await this.#to.history.readSettled(address, sequence);
    if (entry === null || address === null || sequence === null) {
      return { letter, draft: new RoomlineError('message_not_found'), key: null, possiblyDelivered: false };
    }
    const { key, possiblyDelivered } = entry;
    const { body } = splitBody(entry.body);
    const draft: NewMessageDraft = {
      key,
      body,
      digest: contentDigest(body),
      messageId: replayIdOf(this.#to.references.encode(address, sequence)),
      notBefore: null,
      expiresAt: null,
      ackTimeoutMs: null,
      failurePolicy: null,
      supersedes: null,
      ...addresseeOf(body, key),
    };
    const unconfigured = this.#to.findChannel(key.tenant, key.channel) === null;
    const error = closed(letter) ?? (unconfigured ? new RoomlineError('channel_unknown') : null);
    return { letter, draft: error ?? stamp(draft), key, possiblyDelivered };
  }

  #foresee({ letter, draft, key, possiblyDelivered }: Candidate): ReplayedLetter {
    const from = this.#fromOf(letter);
    const about = { id: letter.id, from, key, possiblyDelivered };
    if (letter.state === 'replayed') return { ...about, result: 'already', to: this.linkOf(letter), error: null };
    if (draft instanceof RoomlineError) return refusal(about, draft);
    return { ...about, result: 'replayable', to: null, error: null };
  }

  async #publish(
    candidates: readonly Candidate[],
    reason: string | null,
    by: Actor,
  ): Promise<readonly ReplayedLetter[]> {
    const { publish, letters, audit, references, clock } = this.#to;
    const ready = candidates.filter(({ draft }) => !(draft instanceof RoomlineError));
    if (ready.length === 0) return candidates.map((candidate) => this.#foresee(candidate));
    const chosen = ready.map(({ letter }) => letter);
    const note = noteOf(
      chosen.map(({ id }) => id),
      chosen,
      reason,
    );
    await audit.record({ ...by, action: 'dead_letter.replay', ...note });
    const results = await publish(ready.map(({ draft }) => draft as NewMessageDraft));
    const resultOf = new Map(ready.map((candidate, index) => [candidate, results[index]]));
    const links = ready.flatMap((candidate) => {
      const result = resultOf.get(candidate);
      if (result?.kind !== 'accepted') return [];
      return [{ id: candidate.letter.id, address: result.address, sequence: result.sequence }];
    });
    await letters.markReplayed(links, clock.now(), by.actor);
    return candidates.map((candidate): ReplayedLetter => {
      const result = resultOf.get(candidate);
      if (result === undefined) return this.#foresee(candidate);
      const { letter, key, possiblyDelivered } = candidate;
      const about = { id: letter.id, from: this.#fromOf(letter), key, possiblyDelivered };
      if (result.kind === 'refused') {
        const { error } = result;
        return refusal(about, error instanceof RoomlineError ? error : new RoomlineError('internal', { cause: error }));
      }
      if (result.kind !== 'accepted') return refusal(about, new RoomlineError('message_id_conflict'));
      const { address, sequence, duplicate } = result;
      const to = { reference: references.encode(address, sequence), sequence };
      return { ...about, result: duplicate ? 'already' : 'replayed', to, error: null };
    });
  }

  #fromOf(letter: StoredLetter): NamedMessage | null {
    const reference = this.referenceOf(letter);
    return reference === null || letter.sequence === null ? null : { reference, sequence: letter.sequence };
  }
}

class Budget {
  #left = MAX_BYTES;

  /** @throws RoomlineError `batch_too_large` */
  take(bytes: Uint8Array | undefined): void {
    this.#left -= bytes?.length ?? 0;
    if (this.#left >= 0) return;
    throw new RoomlineError('batch_too_large', { detail: `The letters hold more than ${MAX_BYTES} bytes` });
  }
}

/** The message id of a replay: the same however often the same message is replayed. */
function replayIdOf(reference: string): string {
  return `replay:${reference}`;
}

/** The reference of the message that one of this message id replays; null where it is no replay. */
export function replayedBy(messageId: string): string | null {
  return /^replay:([A-Za-z0-9_-]{26})$/.exec(messageId)?.[1] ?? null;
}

/** Room by room as their first letters come; of a room first what had a number, by it, then payloads by their times. */
function inOrder(candidates: readonly Candidate[]): readonly Candidate[] {
  const byTime = candidates.toSorted(
    (one, other) => one.letter.at - other.letter.at || one.letter.id - other.letter.id,
  );
  const rooms = new Map<string, Candidate[]>();
  for (const candidate of byTime) {
    const { key, letter } = candidate;
    const room = key === null ? `letter ${letter.id}` : JSON.stringify([key.tenant, key.channel, key.room]);
    const others = rooms.get(room);
    if (others === undefined) rooms.set(room, [candidate]);
    else others.push(candidate);
  }
  const numberOf = ({ letter }: Candidate): number => letter.sequence ?? Number.POSITIVE_INFINITY;
  return [...rooms.values()].flatMap((ofRoom) =>
    ofRoom.sort((one, other) => (numberOf(one) === numberOf(other) ? 0 : numberOf(one) - numberOf(other))),
  );
}

function closed({ state }: StoredLetter): RoomlineError | null {
  return state === 'open' ? null : closedAs(state);
}

function closedAs(state: 'replayed' | 'discarded'): RoomlineError {
  return new RoomlineError('dead_letter_closed', { detail: `The dead letter was ${state}` });
}

function refusal(about: { readonly id: number } & Partial<ReplayedLetter>, error: RoomlineError): ReplayedLetter {
  return { from: null, key: null, possiblyDelivered: false, ...about, result: 'refused', to: null, error };
}

/** Of several letters, each of which may be of another channel. */
function noteOf(ids: readonly number[], letters: readonly StoredLetter[], reason: string | null) {
  const channels = new Set(
    letters.flatMap(({ tenant, channel }) =>
      tenant === null || channel === null ? [] : [channelName({ tenant, channel })],
    ),
  );
  const [only] = ids;
  const subject = ids.length === 1 ? `dead_letter:${only}` : 'dead_letters';
  return { subject, detail: { ids, channels: [...channels], ...(reason === null ? {} : { reason }) } };
}
