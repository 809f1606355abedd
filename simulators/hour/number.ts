/** A WhatsApp business number as the engine's port sees it: buckets that refuse, answers that take their time. */
import type { PlatformChannel, SendRequest, SendResult } from '../../src/engine/ports.ts';
import { chanceFor, type WorldChance } from '../world/chance.ts';
import type { SimProcess } from '../world/process.ts';
import type { VirtualTime } from '../world/time.ts';
import { logNormal } from './draws.ts';
import type { Judge } from './judge.ts';
import { type NumberLimits, TokenBucket } from './limits.ts';
import type { Load } from './load.ts';
import { isWithin, type Window } from './options.ts';
import type { Phones } from './phones.ts';
import { drawStatuses, type Statuses } from './statuses.ts';

export interface NumberOptions {
  readonly seed: number;
  readonly time: VirtualTime;
  readonly openAt: number;
  readonly load: Load;
  readonly limits: NumberLimits;
  readonly revoked: Window;
  readonly judge: Judge;
  readonly phones: Phones;
  readonly statuses: Statuses;
}

const ANSWER = { medianMs: 150, p99Ms: 1_500 };
/** Of the requests never arrive; of the answers never do. */
const LOST = 0.000_1;
const TIMED_OUT: SendResult = { kind: 'unknown', code: 'timeout', bytesLeft: true };

const REFUSALS = {
  token: refused('190', 'account', true),
  number: refused('130429', 'channel', false),
  pair: refused('131056', 'room', false),
} as const;

export class VirtualNumber {
  readonly counts = {
    requests: 0,
    revoked: 0,
    numberLimit: 0,
    pairLimit: 0,
    /** By how much a request that was refused with 131056 came too early, at most. */
    pairTooEarlyMs: 0,
    lostRequests: 0,
    lostAnswers: 0,
  };
  firstTakenAfterRevoked: number | null = null;
  readonly #options: NumberOptions;
  readonly #bucket: TokenBucket;
  readonly #pairs = new Map<number, TokenBucket>();
  #nextId = 1;

  constructor(options: NumberOptions) {
    this.#options = options;
    const { perSecond, burst } = options.limits;
    this.#bucket = new TokenBucket(1_000 / perSecond, burst);
  }

  channelFor(process: SimProcess): PlatformChannel {
    return {
      send: (request) => this.#send(request, process),
      lookup: null,
      senderId: null,
      checkContent: null,
      handshake: null,
      verify: () => ({ kind: 'verified' }),
      readStatuses: () => [],
      close: () => Promise.resolve(),
    };
  }

  #send(request: SendRequest, process: SimProcess): Promise<SendResult> {
    if (process.dead) return new Promise(() => undefined);
    const { seed, time, judge } = this.#options;
    const message = readMessage(request.body);
    judge.leaving(message, process.name);
    this.counts.requests++;
    const chance = chanceFor(seed, 'request', message, request.attempt);
    const latencyMs = logNormal(chance, ANSWER.medianMs, ANSWER.p99Ms);
    const requestLost = chance.hit(LOST);
    const answerLost = chance.hit(LOST);
    let answer: SendResult = TIMED_OUT;
    if (requestLost) this.counts.lostRequests++;
    else {
      time.after(latencyMs / 2, () => {
        answer = this.#arrives(message, request.reference, chance);
      });
      if (answerLost) this.counts.lostAnswers++;
    }
    const isAnswered = !requestLost && !answerLost && latencyMs < request.timeoutMs;
    return new Promise((resolve) => {
      time.after(isAnswered ? latencyMs : request.timeoutMs, () =>
        process.enter(() => {
          const result = isAnswered ? answer : TIMED_OUT;
          judge.answered(message, result.kind);
          resolve(result);
        }),
      );
    });
  }

  #arrives(message: number, reference: string, chance: WorldChance): SendResult {
    const { time, openAt, load, revoked, judge, phones, statuses } = this.#options;
    const now = time.now - openAt;
    if (isWithin(revoked, now)) {
      this.counts.revoked++;
      return REFUSALS.token;
    }
    const room = load.room[message] as number;
    if (!this.#bucket.take(now)) {
      this.counts.numberLimit++;
      return REFUSALS.number;
    }
    const pair = this.#pairOf(room);
    if (!pair.take(now)) {
      this.counts.pairLimit++;
      this.counts.pairTooEarlyMs = Math.max(this.counts.pairTooEarlyMs, pair.missingMs);
      return REFUSALS.pair;
    }
    if (now >= revoked.to) this.firstTakenAfterRevoked ??= now;
    judge.taken(message);
    const of = { message, reference, platformId: `wamid.${this.#nextId++}` };
    const plan = drawStatuses(chance);
    statuses.accepted(of, plan, chance);
    phones.send(message, room, chance, () => statuses.shown(of, plan, chance));
    return { kind: 'accepted', platformId: of.platformId, platformAt: null, duplicate: false };
  }

  #pairOf(room: number): TokenBucket {
    const known = this.#pairs.get(room);
    if (known !== undefined) return known;
    const { pairEveryMs, pairBurst } = this.#options.limits;
    const bucket = new TokenBucket(pairEveryMs, pairBurst);
    this.#pairs.set(room, bucket);
    return bucket;
  }
}

function refused(code: string, scope: 'room' | 'channel' | 'account', permanent: boolean): SendResult {
  return { kind: 'refused', nack: { permanent, scope, retryAfterMs: null, code } };
}

function readMessage(body: Uint8Array): number {
  const { content } = JSON.parse(new TextDecoder().decode(body)) as { content: { message: number } };
  return content.message;
}
