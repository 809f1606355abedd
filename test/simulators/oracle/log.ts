import { judge } from '../../../simulators/oracle/oracle.ts';
import type { AttemptRow, FinalRow, OracleOptions, Published } from '../../../simulators/oracle/types.ts';
import type { GroundTruthRecord, ReceiptRecord, SignatureMode } from '../../../simulators/platform/ground-truth.ts';

/** Writes ground truth by hand: each line 10 ms after the one before, unless `wait` says otherwise. */
export class HandMadeLog {
  readonly records: GroundTruthRecord[] = [];
  #at = 0;
  #r = 0;
  #m = 0;
  #call = 0;
  readonly #accepted = new Map<string, number>();
  readonly #orders = new Map<string, number>();
  readonly #attempts = new Map<string, number>();

  start(wall = 1_700_000_000_000): this {
    this.#at = 0;
    this.#r = 0;
    this.#m = 0;
    this.#call = 0;
    return this.#push({ t: 'start', wall, seed: '1', profile: 'generic' });
  }

  wait(ms: number): this {
    this.#at += ms;
    return this;
  }

  /** A request; its number. The room of `a/1` is `a`. */
  receipt(key: string, more: Partial<ReceiptRecord> = {}): number {
    const decision = more.decision ?? 'accepted';
    const r = ++this.#r;
    const attempt = (this.#attempts.get(key) ?? 0) + 1;
    this.#attempts.set(key, attempt);
    if (decision === 'accepted') this.#accepted.set(key, ++this.#m);
    const m = decision === 'accepted' || decision === 'duplicate' ? { m: this.#accepted.get(key) ?? 0 } : {};
    this.#push({
      t: 'receipt',
      r,
      wall: 0,
      conn: 1,
      channel: 'default',
      reference: `ref-${key}`,
      attempt,
      worker: 'w1',
      generation: '1',
      to: `to-${key.split('/')[0]}`,
      hash: `hash-${key}`,
      key,
      decision,
      ...m,
      ...more,
    });
    return r;
  }

  answer(r: number, status = 200, unknownOutcome = false): this {
    return this.#push({ t: 'answer', r, status, unknownOutcome });
  }

  doubt(r: number): this {
    return this.#push({ t: 'doubt', r });
  }

  /** Sent, accepted and answered. */
  send(key: string, more: Partial<ReceiptRecord> = {}): this {
    return this.answer(this.receipt(key, more));
  }

  /** Sent, accepted, but the answer got lost. */
  sendUnknown(key: string, more: Partial<ReceiptRecord> = {}): this {
    return this.answer(this.receipt(key, { fault: 'reset', ...more }), 0, true);
  }

  refuse(key: string, more: Partial<ReceiptRecord> = {}): this {
    return this.answer(this.receipt(key, { decision: 'refused', fault: 'busy', ...more }), 429);
  }

  show(key: string): this {
    const room = key.split('/')[0] ?? '';
    const order = (this.#orders.get(room) ?? 0) + 1;
    this.#orders.set(room, order);
    return this.#push({ t: 'shown', m: this.#accepted.get(key) ?? 0, order });
  }

  /** A webhook call that tells these statuses (letters as in the log), and its answer. */
  tell(keys: string[], letters: string, answer = 200, signature: SignatureMode = 'right'): this {
    const call = ++this.#call;
    const m = keys.map((key) => this.#accepted.get(key) ?? 0);
    this.#push({ t: 'call', call, attempt: 1, channel: 'default', signature, m, s: letters, junk: 0 });
    return this.#push({ t: 'called', call, attempt: 1, status: answer });
  }

  /** A call that has started, and how to end it. */
  startTelling(key: string, letter: string): (answer: number) => this {
    const call = ++this.#call;
    const m = [this.#accepted.get(key) ?? 0];
    this.#push({ t: 'call', call, attempt: 1, channel: 'default', signature: 'right', m, s: letter, junk: 0 });
    return (status) => this.#push({ t: 'called', call, attempt: 1, status });
  }

  lookup(key: string, status?: string): this {
    const found = status === undefined ? {} : { m: this.#accepted.get(key) ?? 0, status };
    return this.#push({ t: 'lookup', channel: 'default', reference: `ref-${key}`, ...found });
  }

  event(event: string): this {
    return this.#push({ t: 'event', event });
  }

  /** Sent, shown and acked: the ordinary life of a message. */
  deliver(...keys: string[]): this {
    for (const key of keys) this.send(key).show(key).tell([key], 'd');
    return this;
  }

  // Records of all kinds lack only their time here.
  #push(record: DistributiveOmit<GroundTruthRecord, 'at'>): this {
    this.#at += 10;
    this.records.push({ ...record, at: this.#at } as GroundTruthRecord);
    return this;
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

export const published = (...keys: string[]): Published[] =>
  keys.map((key) => ({ key, room: key.split('/')[0] ?? '', hash: `hash-${key}` }));

export const rows = (...given: [key: string, outcome: FinalRow['outcome'], more?: Partial<FinalRow>][]): FinalRow[] =>
  given.map(([key, outcome, more]) => ({
    key,
    room: key.split('/')[0] ?? '',
    sequence: Number(key.split('/')[1]),
    outcome,
    reason: 'because',
    ...more,
  }));

type Result = AttemptRow['result'];

/** Attempts as the history tells them, one per result; each began 10 ms after the one before. */
export const attempts = (...given: (Result | [Result, Partial<AttemptRow>])[]): AttemptRow[] =>
  given.map((each, index) => {
    const [result, more] = Array.isArray(each) ? each : [each, {}];
    const begunAt = 1_700_000_000_000 + 10 * index;
    return {
      number: index + 1,
      worker: 'w1',
      generation: 1,
      begunAt,
      endedAt: begunAt + 5,
      result,
      code: null,
      ...more,
    };
  });

/** The verdict over what the function writes. */
export const verdictOf = (
  keys: string[],
  write: (log: HandMadeLog) => unknown,
  options: OracleOptions = {},
  final?: FinalRow[],
) => {
  const log = new HandMadeLog().start();
  write(log);
  return judge({ published: published(...keys), records: log.records, ...(final ? { final } : {}) }, options);
};
