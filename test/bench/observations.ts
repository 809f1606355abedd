import type { GroundTruthRecord } from '../../simulators/platform/ground-truth.ts';

/** A message as the platform saw it, in milliseconds on the platform's clock; NaN: not yet. */
interface Seen {
  readonly receivedAt: number;
  answeredAt: number;
  /** The first webhook call that told of its delivery began. */
  ackAt: number;
  /** Such a call was answered 2xx: whoever sends has settled it on disk. */
  settledAt: number;
}

/** What the platform's log says of one load, whose keys are `run/room/index` with indexes from 1. */
export class Observations {
  readonly #run: string;
  readonly #byKey = new Map<string, Seen>();
  readonly #byRequest = new Map<number, Seen>();
  readonly #byNumber = new Map<number, Seen>();
  readonly #calls = new Map<number, Seen[]>();
  #wallOffsetMs = 0;
  #telling = 0;

  constructor(run: string) {
    this.#run = `${run}/`;
  }

  /** In the order of the log. */
  record(record: GroundTruthRecord): void {
    switch (record.t) {
      case 'start':
        this.#wallOffsetMs = record.wall - record.at;
        return;
      case 'receipt': {
        const { key, m, at, r } = record;
        if (key === undefined || m === undefined || !key.startsWith(this.#run) || this.#byKey.has(key)) return;
        const seen = { receivedAt: at, answeredAt: Number.NaN, ackAt: Number.NaN, settledAt: Number.NaN };
        this.#byKey.set(key, seen);
        this.#byNumber.set(m, seen);
        this.#byRequest.set(r, seen);
        return;
      }
      case 'answer': {
        const seen = this.#byRequest.get(record.r);
        if (seen !== undefined) seen.answeredAt = record.at;
        this.#byRequest.delete(record.r);
        return;
      }
      case 'call': {
        const told = record.m.flatMap((m, index) => (record.s[index] === 'd' ? (this.#byNumber.get(m) ?? []) : []));
        for (const seen of told) if (Number.isNaN(seen.ackAt)) seen.ackAt = record.at;
        if (told.length > 0) this.#telling++;
        this.#calls.set(record.call, told);
        return;
      }
      case 'called':
        if (record.status < 200 || record.status > 299) return;
        for (const seen of this.#calls.get(record.call) ?? []) {
          if (Number.isNaN(seen.settledAt)) seen.settledAt = record.at;
        }
        this.#calls.delete(record.call);
        return;
      default:
        return;
    }
  }

  /** Webhook calls that told of a delivery. */
  get calls(): number {
    return this.#telling;
  }

  /** Unix time of the settling of every message whose ack came, ascending. */
  settledAt(): number[] {
    return [...this.#byKey.values()]
      .flatMap(({ settledAt }) => (Number.isNaN(settledAt) ? [] : settledAt + this.#wallOffsetMs))
      .sort((a, b) => a - b);
  }

  /** Unix time of every first receipt, ascending. */
  allReceivedAt(): number[] {
    return [...this.#byKey.values()].map(({ receivedAt }) => receivedAt + this.#wallOffsetMs).sort((a, b) => a - b);
  }

  /** Unix time at which the platform first received the message. */
  receivedAt(key: string): number | null {
    const seen = this.#byKey.get(key);
    return seen === undefined ? null : seen.receivedAt + this.#wallOffsetMs;
  }

  /** From the ack of each of these messages to the next message of its room, where there is one; ascending. */
  gapsMs(after: Iterable<string> = this.#byKey.keys(), publishedAt?: (key: string) => number): number[] {
    const gaps: number[] = [];
    for (const [seen, next, key] of this.#pairs(after)) {
      if (Number.isNaN(seen.ackAt)) continue;
      // What had not been published when the ack came could not follow it.
      if (publishedAt !== undefined && publishedAt(key) > seen.ackAt + this.#wallOffsetMs) continue;
      gaps.push(next.receivedAt - seen.ackAt);
    }
    return gaps.sort((a, b) => a - b);
  }

  /**
   * Of messages that nobody was told of: how much later than `ackTimeoutMs` after the answer the next message of the
   * room came, where one had been waiting; ascending.
   */
  timeoutsLateMs(ackTimeoutMs: number, publishedAt: (key: string) => number): number[] {
    const late: number[] = [];
    for (const [seen, next, key] of this.#pairs(this.#byKey.keys())) {
      const dueAt = seen.answeredAt + ackTimeoutMs;
      if (Number.isNaN(seen.ackAt) && publishedAt(key) <= dueAt + this.#wallOffsetMs) {
        late.push(next.receivedAt - dueAt);
      }
    }
    return late.sort((a, b) => a - b);
  }

  /** Each message with its successor, and that one's key. */
  *#pairs(keys: Iterable<string>): Generator<[Seen, Seen, string]> {
    for (const key of keys) {
      const slash = key.lastIndexOf('/');
      const nextKey = `${key.slice(0, slash)}/${Number(key.slice(slash + 1)) + 1}`;
      const seen = this.#byKey.get(key);
      const next = this.#byKey.get(nextKey);
      if (seen !== undefined && next !== undefined) yield [seen, next, nextKey];
    }
  }
}
