/**
 * How fast one sender, or the senders of an account together, may send: a token for each request. Tokens come from what
 * all processes keep together, or, where nothing is shared or what is shared is away, from this process's share of the
 * limit by the part of the shards that it holds. Who waits is served in order.
 */
import type { Clock, RateLimit, SharedRates } from './ports.ts';

/** Rates need no engine time. */
type Timer = Pick<Clock, 'monotonic' | 'after'>;

export interface Rate {
  /** A token, if one is there and nobody waits for it. */
  tryTake(): boolean;
  /** Runs when a token is there, at once where one is. The result gives up the place; once it has run it does nothing. */
  take(run: () => void): () => void;
  /** A token that was not used after all. */
  giveBack(): void;
}

/** A rate whose limit may change: what was taken under the former one counts on. Only while nobody waits. */
interface LimitedRate extends Rate {
  limitTo(limit: RateLimit): void;
}

/** Where there is no limit. */
export const UNLIMITED: Rate = {
  tryTake: () => true,
  take: (run) => {
    run();
    return () => undefined;
  },
  giveBack: () => undefined,
};

const NOTHING = (): void => undefined;

/** What a wait that ended late may make up for: more at once would be a burst. */
const LATE_MS = 20;
/** The share may grow while somebody waits: so often it is looked at again. */
const LOOK_AGAIN_MS = 1_000;

/** This process's own share: the generic cell rate algorithm on its monotonic clock. */
export class LocalRate implements LimitedRate {
  #limit: RateLimit;
  readonly #clock: Timer;
  readonly #share: () => number;
  readonly #waiting: (() => void)[] = [];
  #cancelTimer: (() => void) | null = null;
  /** When all that was taken is paid back, one token in each `#everyMs`. */
  #paidAt = Number.NEGATIVE_INFINITY;
  #everyMs = 1;

  /** @param share the part of the limit that is this process's, above 0 and up to 1 */
  constructor(limit: RateLimit, clock: Timer, share: () => number) {
    this.#limit = limit;
    this.#clock = clock;
    this.#share = share;
  }

  tryTake(): boolean {
    if (this.#waiting.length > 0 || this.#freeInMs() > 0) return false;
    this.#spend(this.#clock.monotonic());
    return true;
  }

  take(run: () => void): () => void {
    if (this.tryTake()) {
      run();
      return NOTHING;
    }
    // Not by the function itself: it may be handed in twice.
    const place = (): void => run();
    this.#waiting.push(place);
    if (this.#cancelTimer === null) this.#arm();
    return () => {
      const index = this.#waiting.indexOf(place);
      if (index >= 0) this.#waiting.splice(index, 1);
      if (this.#waiting.length === 0) this.#disarm();
    };
  }

  giveBack(): void {
    this.#paidAt -= this.#everyMs;
    // Nobody is served in the midst of whoever gives it back.
    if (this.#waiting.length > 0) this.#arm();
  }

  limitTo(limit: RateLimit): void {
    this.#limit = limit;
  }

  #serve(): void {
    this.#disarm();
    while (this.#waiting.length > 0 && this.#freeInMs() <= 0) {
      // Whoever waited took nothing from the time since, unless that has become too long.
      this.#spend(this.#clock.monotonic() - LATE_MS);
      this.#waiting.shift()?.();
    }
    if (this.#waiting.length > 0) this.#arm();
  }

  #arm(): void {
    this.#disarm();
    // Timers are of whole milliseconds.
    const inMs = Math.max(1, Math.ceil(this.#freeInMs()));
    this.#cancelTimer = this.#clock.after(Math.min(inMs, LOOK_AGAIN_MS), () => this.#serve());
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  #freeInMs(): number {
    const share = this.#share();
    const now = this.#clock.monotonic();
    const every = everyMs(this.#limit, share);
    if (every !== this.#everyMs) {
      // What was taken under another limit, or as another share, counts on.
      this.#paidAt = now + (Math.max(0, this.#paidAt - now) / this.#everyMs) * every;
      this.#everyMs = every;
    }
    const credit = Math.max(1, Math.floor(this.#limit.burst * share));
    return this.#paidAt - (credit - 1) * every - now;
  }

  #spend(from: number): void {
    this.#paidAt = Math.max(this.#paidAt, from) + this.#everyMs;
  }
}

function everyMs({ perSecond }: RateLimit, share: number): number {
  return 1_000 / (perSecond * share);
}

/** Tokens fetched at once: what the limit gives in this time, so that few round trips serve many requests. */
const BATCH_MS = 50;
/** Fetched tokens that nobody used are as good as none: they have been counted, and must not make a burst much later. */
const STALE_MS = 1_000;
/** How long a process goes by its own share after what is shared was away. */
const AWAY_MS = 1_000;

/** What all processes keep together, fetched in small batches. */
export class SharedRate implements LimitedRate {
  readonly #name: string;
  #limit: RateLimit;
  readonly #shared: SharedRates;
  readonly #clock: Timer;
  readonly #own: LimitedRate;
  readonly #waiting: (() => void)[] = [];
  #tokens = 0;
  #fetchedAt = 0;
  #asking = false;
  #awayUntil = Number.NEGATIVE_INFINITY;

  constructor(name: string, limit: RateLimit, shared: SharedRates, clock: Timer, own: LimitedRate) {
    this.#name = name;
    this.#limit = limit;
    this.#shared = shared;
    this.#clock = clock;
    this.#own = own;
  }

  tryTake(): boolean {
    if (this.#isAway()) return this.#own.tryTake();
    if (this.#waiting.length === 0 && this.#has()) {
      this.#tokens--;
      return true;
    }
    this.#ask();
    return false;
  }

  take(run: () => void): () => void {
    if (this.#isAway()) return this.#own.take(run);
    if (this.tryTake()) {
      run();
      return NOTHING;
    }
    let giveUp: () => void = () => {
      const place = this.#waiting.indexOf(serve);
      if (place >= 0) this.#waiting.splice(place, 1);
    };
    const serve = (): void => {
      giveUp = NOTHING;
      // Tokens are there, or what is shared went away while it waited.
      if (this.#isAway()) giveUp = this.#own.take(run);
      else run();
    };
    this.#waiting.push(serve);
    this.#ask();
    return () => giveUp();
  }

  giveBack(): void {
    this.#tokens++;
  }

  limitTo(limit: RateLimit): void {
    this.#limit = limit;
    this.#own.limitTo(limit);
  }

  #isAway(): boolean {
    return this.#clock.monotonic() < this.#awayUntil;
  }

  #has(): boolean {
    if (this.#clock.monotonic() - this.#fetchedAt > STALE_MS) this.#tokens = 0;
    return this.#tokens >= 1;
  }

  #ask(): void {
    if (this.#asking) return;
    this.#asking = true;
    const { perSecond, burst } = this.#limit;
    const batch = Math.floor((perSecond * BATCH_MS) / 1_000);
    const want = Math.max(1, Math.min(burst, Math.max(batch, this.#waiting.length)));
    // What was used up has to grow again: asked for every single token, the round trips would cost more than they bring.
    const growMs = Math.min(BATCH_MS, (burst * 1_000) / perSecond / 2);
    this.#shared.take(this.#name, this.#limit, want).then(
      ({ granted, waitMs }) => {
        if (granted > 0) this.#fetched(granted);
        if (this.#waiting.length === 0) this.#asking = false;
        else this.#clock.after(granted === want ? 0 : Math.max(growMs, waitMs), () => this.#askAgain());
      },
      // The limit is kept by shares meanwhile: slower or a little faster than allowed, and nobody waits for ever.
      () => {
        this.#asking = false;
        this.#awayUntil = this.#clock.monotonic() + AWAY_MS;
        for (const serve of this.#waiting.splice(0)) serve();
      },
    );
  }

  #askAgain(): void {
    this.#asking = false;
    if (this.#waiting.length > 0) this.#ask();
  }

  #fetched(granted: number): void {
    this.#tokens = (this.#has() ? this.#tokens : 0) + granted;
    this.#fetchedAt = this.#clock.monotonic();
    while (this.#tokens >= 1 && this.#waiting.length > 0) {
      this.#tokens--;
      this.#waiting.shift()?.();
    }
  }
}

/** A limit that may come, change and go while channels hold on to it. */
class NamedRate implements Rate {
  readonly #make: (limit: RateLimit) => LimitedRate;
  #limited: LimitedRate | null = null;
  #limit: RateLimit = { perSecond: 0, burst: 1 };

  constructor(make: (limit: RateLimit) => LimitedRate) {
    this.#make = make;
  }

  tryTake(): boolean {
    return (this.#limited ?? UNLIMITED).tryTake();
  }

  take(run: () => void): () => void {
    return (this.#limited ?? UNLIMITED).take(run);
  }

  giveBack(): void {
    this.#limited?.giveBack();
  }

  limitTo(limit: RateLimit): void {
    const { perSecond, burst } = this.#limit;
    if (limit.perSecond === perSecond && limit.burst === burst) return;
    this.#limit = limit;
    if (limit.perSecond === 0) this.#limited = null;
    else if (this.#limited === null) this.#limited = this.#make(limit);
    else this.#limited.limitTo(limit);
  }
}

/** The limits of channels and accounts, by name. */
export class Rates {
  readonly #make: (name: string, limit: RateLimit) => LimitedRate;
  readonly #byName = new Map<string, NamedRate>();

  /** @param shared null: each process keeps to its share */
  constructor(clock: Timer, share: () => number, shared: SharedRates | null) {
    this.#make = (name, limit) => {
      const own = new LocalRate(limit, clock, share);
      return shared === null ? own : new SharedRate(name, limit, shared, clock, own);
    };
  }

  /** The rate of this name, always the same one, under this limit from now on. Only while nobody waits for it. */
  limited(name: string, limit: RateLimit): Rate {
    const rate = this.#byName.get(name) ?? new NamedRate((first) => this.#make(name, first));
    this.#byName.set(name, rate);
    rate.limitTo(limit);
    return rate;
  }
}

/** What satisfies all of these limits. */
export function strictest(limits: readonly RateLimit[]): RateLimit {
  const real = limits.filter(({ perSecond }) => perSecond > 0);
  if (real.length === 0) return { perSecond: 0, burst: 1 };
  return {
    perSecond: Math.min(...real.map(({ perSecond }) => perSecond)),
    burst: Math.min(...real.map(({ burst }) => burst)),
  };
}
