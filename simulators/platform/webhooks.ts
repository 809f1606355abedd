import { Pool } from 'undici';
import type { CallRecord, SignatureMode } from './ground-truth.ts';
import type { StatusItem } from './profile.ts';
import { Queue } from './queue.ts';
import { Draws, Purpose } from './random.ts';
import type { ChannelKnobs } from './settings.ts';
import { raise } from './stats.ts';
import type { StatusOutlet } from './statuses.ts';
import type { World } from './world.ts';

interface Waiting {
  item: StatusItem | undefined;
  /** Sent as it is, when there is no item. */
  raw: unknown;
  told: (() => void) | undefined;
}

interface Call {
  readonly no: number;
  readonly id: string;
  /** Where this message's statuses go; undefined: to the channel's webhook. */
  readonly url: URL | undefined;
  readonly contents: Waiting[];
  readonly body: string;
  readonly junk: number;
  /** When it was first sent. */
  firstAt: number;
  attempt: number;
  /** Pauses before repetitions so far, but for those that the receiver asked for. */
  pauses: number;
  /** Signatures to try, the last being the one that counts. */
  readonly modes: SignatureMode[];
}

/** One replica of the receiver; without an address: all that messages name for themselves. */
interface Target {
  readonly url: URL | undefined;
  /** Calls under way. */
  active: number;
}

type Outcome = { status: number; error?: string };
type Ended = { outcome: Outcome; askedMs: number };

const LETTER = { sent: 's', delivered: 'd', read: 'r', failed: 'f' } as const;
const FORGERIES = [
  ['wrongKey', 'wrong_key'],
  ['tampered', 'tampered'],
  ['missing', 'missing'],
  ['expired', 'expired'],
] as const;
const JUNK = ['unknownId', 'unknownReference', 'unknownStatus', 'extraFields', 'malformed'] as const;

/** Calls of one recipient that go one after another; the first of each line is under way. */
class Lines {
  readonly #lines = new Map<string, Call[]>();
  /** Those behind a first one. */
  waiting = 0;

  /** False where the call has to wait for its turn. */
  enter(call: Call): boolean {
    const name = this.#nameOf(call);
    const line = this.#lines.get(name);
    if (line === undefined) {
      this.#lines.set(name, [call]);
      return true;
    }
    line.push(call);
    this.waiting++;
    return false;
  }

  /** The call is over; the next of its line. */
  leave(call: Call): Call | undefined {
    const name = this.#nameOf(call);
    const line = this.#lines.get(name);
    if (line?.[0] !== call) return undefined;
    line.shift();
    if (line.length === 0) this.#lines.delete(name);
    else this.waiting--;
    return line[0];
  }

  /** Ends all lines; the calls that were not under way yet. */
  clear(): Call[] {
    const waiting = [...this.#lines.values()].flatMap((line) => line.slice(1));
    this.#lines.clear();
    this.waiting = 0;
    return waiting;
  }

  #nameOf({ no, contents }: Call): string {
    return contents[0]?.item?.message.recipient.to ?? `call ${no}`;
  }
}

/** Tells one channel's statuses to its webhook: batches, parallel connections, repetition until a 2xx. */
class ChannelOutlet {
  readonly #world: World;
  readonly #name: string;
  readonly #connect: (target: string, origin: string, connections: number) => Pool;
  readonly #nextCall: () => number;
  readonly #waiting = new Queue<Waiting>();
  /** Calls to be sent now: duplicates of their own, and repetitions whose time has come. */
  readonly #ready = new Queue<Call>();
  /** The same, of calls that go where their message says. */
  readonly #addressed = new Queue<Call>();
  #batchSize = 0;
  #lingerOver = false;
  #lingering = false;
  #held = false;
  readonly #lines = new Lines();
  #unsubscribed = false;
  /** Since when nothing succeeds, in the way that ends the subscription. */
  #failingSince: number | undefined;
  readonly #targets = new Map<string, Target>();
  readonly #elsewhere: Target = { url: undefined, active: 0 };
  #turn = 0;

  constructor(
    world: World,
    name: string,
    connect: (target: string, origin: string, connections: number) => Pool,
    nextCall: () => number,
  ) {
    this.#world = world;
    this.#name = name;
    this.#connect = connect;
    this.#nextCall = nextCall;
  }

  get waiting(): number {
    return this.#waiting.length + this.#ready.length + this.#addressed.length + this.#lines.waiting;
  }

  get active(): number {
    let active = this.#elsewhere.active;
    for (const target of this.#targets.values()) active += target.active;
    return active;
  }

  get held(): boolean {
    return this.#held;
  }

  push(waiting: Waiting, alone: boolean): void {
    if (!this.#webhook) {
      waiting.told?.();
      return;
    }
    if (waiting.item?.message.callbackUrl !== undefined) this.#addressed.push(this.#compose([waiting]));
    else if (this.#unsubscribed) this.#forget([waiting]);
    else if (this.#knobs.retry.inOrder) {
      const call = this.#compose([waiting]);
      if (this.#lines.enter(call)) this.#ready.push(call);
    } else if (alone && !this.#held) this.#ready.push(this.#compose([waiting]));
    else {
      this.#waiting.push(waiting);
      this.#linger();
    }
    this.#pump();
  }

  hold(): void {
    this.#held = true;
  }

  /** Sends everything that was held, at line rate. */
  flush(): void {
    this.#held = false;
    this.#lingerOver = this.#waiting.length > 0;
    this.#pump();
  }

  /** Drops what waits; nothing more is told until the next subscription, and nothing of it is made up for. */
  unsubscribe(): void {
    if (this.#unsubscribed) return;
    this.#unsubscribed = true;
    this.#world.truth.append({
      t: 'event',
      at: this.#world.now(),
      event: 'webhooks_unsubscribed',
      detail: { channel: this.#name },
    });
    this.#forget(this.#waiting.take(this.#waiting.length));
    const calls = [...this.#ready.take(this.#ready.length), ...this.#lines.clear()];
    for (const { contents } of calls) this.#forget(contents);
  }

  subscribe(): void {
    this.#unsubscribed = false;
    this.#failingSince = undefined;
  }

  #forget(contents: readonly Waiting[]): void {
    this.#world.stats.webhooks.unsubscribed += contents.length;
    for (const { told } of contents) told?.();
  }

  get #webhook() {
    return this.#world.resolver.settings.channels[this.#name]?.webhook;
  }

  get #knobs(): ChannelKnobs['webhooks'] {
    return this.#world.resolver.channel(this.#name).webhooks;
  }

  #linger(): void {
    const { lingerMs } = this.#knobs.batch;
    if (lingerMs === 0) this.#lingerOver = true;
    else if (!this.#lingering) {
      this.#lingering = true;
      this.#world.scheduler.after(lingerMs, () => {
        this.#lingering = false;
        this.#lingerOver = true;
        this.#pump();
      });
    }
  }

  #pump(): void {
    while (!this.#held) {
      const target = this.#freeTarget();
      const call = target && (this.#ready.take(1)[0] ?? this.#nextBatch());
      if (target === undefined || call === undefined) break;
      this.#send(call, target);
    }
    while (!this.#held && this.#elsewhere.active < this.#knobs.connections) {
      const [call] = this.#addressed.take(1);
      if (call === undefined) return;
      this.#send(call, this.#elsewhere);
    }
  }

  /** The call is to be sent (again) as soon as there is a connection. */
  #enqueue(call: Call): void {
    (call.url === undefined ? this.#ready : this.#addressed).push(call);
  }

  /** The next replica, in turn, that has a connection free. */
  #freeTarget(): Target | undefined {
    const urls = this.#webhook?.urls ?? [];
    const { connections } = this.#knobs;
    for (let tried = 0; tried < urls.length; tried++) {
      const url = urls[this.#turn++ % urls.length] ?? '';
      let target = this.#targets.get(url);
      if (target === undefined) {
        target = { url: new URL(url), active: 0 };
        this.#targets.set(url, target);
      }
      if (target.active < connections) return target;
    }
    return undefined;
  }

  #nextBatch(): Call | undefined {
    if (this.#waiting.length === 0) return undefined;
    if (this.#world.profile.single) return this.#compose(this.#waiting.take(1));
    const { minSize, maxSize } = this.#knobs.batch;
    if (this.#batchSize === 0) {
      const draws = Draws.of(this.#world.seed, `batch ${this.#name}`, this.#world.stats.webhooks.calls);
      this.#batchSize = draws.integer(Purpose.batchSize, minSize, maxSize);
    }
    if (this.#waiting.length < this.#batchSize && !this.#lingerOver) return undefined;
    const contents = this.#waiting.take(this.#batchSize);
    this.#batchSize = 0;
    if (this.#waiting.length === 0) this.#lingerOver = false;
    return this.#compose(contents);
  }

  /** A call with these contents; what is mixed in goes into it, or beside it where a call tells of one thing only. */
  #compose(contents: Waiting[]): Call {
    const { profile } = this.#world;
    const no = this.#nextCall();
    const draws = Draws.of(this.#world.seed, `call ${this.#name}`, no);
    const { junk, inbound } = this.#knobs;
    const items = contents.map(({ item, raw }) => (item ? profile.item(item) : raw));
    let junkItems = contents.filter(({ item }) => item === undefined).length;
    const mixIn = (made: unknown, purpose: number) => {
      if (profile.single) {
        const beside = this.#nextCall();
        const alone = [{ item: undefined, raw: made, told: undefined }];
        this.#ready.push(
          this.#call(beside, Draws.of(this.#world.seed, `call ${this.#name}`, beside), alone, [made], 1),
        );
        return;
      }
      items.splice(draws.integer(purpose, 0, items.length), 0, made);
      junkItems++;
    };
    for (const [index, kind] of JUNK.entries()) {
      if (!draws.chance(Purpose.junk, junk[kind], index)) continue;
      raise(this.#world.stats.faults, `webhook_junk_${kind}`);
      const made = profile.junk(kind, String(no));
      if (kind === 'extraFields') items[0] = Object.assign({}, items[0], made);
      else mixIn(made, Purpose.junk);
    }
    if (profile.inbound && draws.chance(Purpose.inbound, inbound, 1)) {
      raise(this.#world.stats.faults, 'webhook_inbound');
      mixIn(profile.inbound(String(no)), Purpose.inbound);
    }
    return this.#call(no, draws, contents, items, junkItems);
  }

  #call(no: number, draws: Draws, contents: Waiting[], items: unknown[], junk: number): Call {
    const { signature } = this.#knobs;
    const modes: SignatureMode[] = [];
    for (const [index, [knob, mode]] of FORGERIES.entries()) {
      if (draws.chance(Purpose.signature, signature[knob], index)) modes.push(mode);
    }
    modes.push(draws.chance(Purpose.signature, signature.previous, FORGERIES.length) ? 'previous' : 'right');
    const url = contents[0]?.item?.message.callbackUrl;
    return {
      no,
      // Unique over restarts: the receiver may remember ids for long.
      id: `msg_${Math.round(this.#world.clock.wallMs()).toString(36)}_${no}`,
      url: url === undefined ? undefined : new URL(url),
      contents,
      body: this.#world.profile.webhookBody(items),
      junk,
      firstAt: this.#world.now(),
      attempt: 0,
      pauses: 0,
      modes,
    };
  }

  #send(call: Call, target: Target): void {
    const world = this.#world;
    const webhook = this.#webhook;
    const url = call.url ?? target.url;
    if (!webhook || url === undefined) {
      this.#told(call);
      return;
    }
    const mode = call.modes[0] ?? 'right';
    const forged = call.modes.length > 1;
    // What waits in a line grows old there.
    if (!forged && ++call.attempt === 1 && !this.#knobs.retry.inOrder) call.firstAt = world.now();
    if (mode !== 'right') raise(world.stats.faults, `webhook_${mode}`);
    world.stats.webhooks.calls++;
    target.active++;
    world.truth.append(this.#record(call, mode));
    const signed = world.profile.sign({
      id: forged ? `${call.id}_${mode}` : call.id,
      nowMs: world.clock.wallMs(),
      url: url.href.slice(0, url.href.length - url.hash.length),
      body: call.body,
      secrets: { present: webhook.secret, previous: webhook.previousSecret },
      both: this.#knobs.signature.both,
      mode,
    });
    this.#post(url, call.url ? url.origin : url.href, signed, ({ outcome, askedMs }) => {
      target.active--;
      world.truth.append({
        t: 'called',
        call: call.no,
        attempt: forged ? 0 : call.attempt,
        at: world.now(),
        ...outcome,
      });
      if (forged) {
        call.modes.shift();
        this.#enqueue(call);
      } else this.#settle(call, url, outcome, askedMs);
      this.#pump();
      world.checkIdle();
    });
  }

  #record(call: Call, signature: SignatureMode): CallRecord {
    const m: number[] = [];
    let s = '';
    for (const { item } of call.contents) {
      if (!item) continue;
      const letter = LETTER[item.status];
      const { recipient, acceptedAt } = item.message;
      if (item.status === 'delivered') recipient.toldUntil = Math.max(recipient.toldUntil, acceptedAt);
      m.push(item.message.no);
      s += item.cumulative || item.watermark !== undefined ? letter.toUpperCase() : letter;
    }
    const attempt = call.modes.length > 1 ? 0 : call.attempt;
    const at = this.#world.now();
    return { t: 'call', call: call.no, attempt, at, channel: this.#name, signature, m, s, junk: call.junk };
  }

  /** One HTTP request; `done` is called exactly once. */
  #post(
    url: URL,
    target: string,
    { headers, body }: { headers: string[]; body: string },
    done: (ended: Ended) => void,
  ): void {
    let status = 0;
    let askedMs = 0;
    let ended = false;
    let abort: ((reason: Error) => void) | undefined;
    const end = (outcome: Outcome) => {
      if (ended) return;
      ended = true;
      deadline.cancel();
      done({ outcome, askedMs });
    };
    const deadline = this.#world.scheduler.after(this.#knobs.deadlineMs, () => {
      this.#world.stats.webhooks.deadlines++;
      end({ status: 0, error: 'DEADLINE' });
      abort?.(new Error('no answer within the deadline'));
    });
    this.#connect(target, url.origin, this.#knobs.connections).dispatch(
      { path: `${url.pathname}${url.search}`, method: 'POST', headers, body, headersTimeout: 0, bodyTimeout: 0 },
      {
        onRequestStart: (controller) => {
          abort = (reason) => controller.abort(reason);
          if (ended) controller.abort(new Error('no answer within the deadline'));
        },
        onResponseStart: (_controller, statusCode, answered) => {
          status = statusCode;
          const asked = Number(answered['retry-after']);
          if (Number.isInteger(asked) && asked > 0) askedMs = asked * 1_000;
        },
        onResponseData: () => undefined,
        onResponseEnd: () => end({ status }),
        onResponseError: (_controller, error) =>
          end({ status: 0, error: (error as { code?: string }).code ?? error.name }),
      },
    );
  }

  #settle(call: Call, url: URL, outcome: Outcome, askedMs: number): void {
    const { webhooks } = this.#world.stats;
    const { status } = outcome;
    if (status >= 200 && status < 300) {
      webhooks.answered2xx++;
      if (call.url === undefined) this.#failingSince = undefined;
      this.#told(call);
      return;
    }
    webhooks.failed++;
    if (call.url === undefined && this.#endsSubscription(status)) {
      if (!this.#unsubscribed) this.unsubscribe();
      this.#forget(call.contents);
      return;
    }
    const { retry, timeScale } = this.#knobs;
    const byRule = retry.on === 'anything' || (retry.on === 'server_errors' && (status === 429 || status >= 500));
    const failed = { url: url.href, attempt: call.attempt, ...outcome };
    const retryable = byRule && (this.#world.profile.repeats?.(failed) ?? true);
    const delayMs = this.#pauseMs(call, askedMs) * timeScale;
    if (!retryable || this.#world.now() + delayMs - call.firstAt > retry.maxAgeMs * timeScale) {
      webhooks.givenUp++;
      this.#told(call);
      return;
    }
    webhooks.retried++;
    this.#world.scheduler.after(delayMs, () => {
      if (call.url === undefined && this.#unsubscribed) this.#forget(call.contents);
      else this.#enqueue(call);
      this.#pump();
    });
  }

  /** Before the next attempt of a call that failed, in unscaled time. */
  #pauseMs(call: Call, askedMs: number): number {
    const { firstMs, factor, maxMs, spreadMs, atOnce, longestAskedMs } = this.#knobs.retry;
    const asked = Math.min(askedMs, longestAskedMs);
    if (asked > 0) return asked;
    if (atOnce && call.attempt === 1) return 0;
    const draws = Draws.of(this.#world.seed, `call ${this.#name}`, call.no);
    const longestMs = maxMs + draws.uniform(Purpose.retrySpread, call.attempt) * spreadMs;
    return Math.min(longestMs, firstMs * factor ** call.pauses++);
  }

  #endsSubscription(status: number): boolean {
    const { unsubscribe, timeScale } = this.#knobs;
    if (this.#unsubscribed) return true;
    if (unsubscribe === null) return false;
    if (unsubscribe.on === 'gone' && status !== 410) {
      this.#failingSince = undefined;
      return false;
    }
    this.#failingSince ??= this.#world.now();
    return this.#world.now() > this.#failingSince + unsubscribe.afterMs * timeScale;
  }

  #told(call: Call): void {
    for (const { told } of call.contents) told?.();
    const next = this.#lines.leave(call);
    if (next !== undefined) this.#ready.push(next);
  }
}

/** The webhooks of all channels. */
export class Webhooks implements StatusOutlet {
  readonly #world: World;
  readonly #outlets = new Map<string, ChannelOutlet>();
  readonly #pools = new Map<string, Pool>();
  #calls = 0;

  constructor(world: World) {
    this.#world = world;
  }

  push(item: StatusItem, { alone, told }: { alone: boolean; told?: () => void }): void {
    this.#outlet(item.message.channel).push({ item, raw: undefined, told }, alone);
  }

  /** Tells anything at all, correctly signed, in a call of its own. */
  inject(channel: string, items: unknown[]): void {
    const outlet = this.#outlet(channel);
    for (const raw of items) outlet.push({ item: undefined, raw, told: undefined }, false);
  }

  /** Holds back the statuses of one channel, or of all that exist in the settings. */
  hold(channel?: string): void {
    for (const outlet of this.#chosen(channel)) outlet.hold();
  }

  flush(channel?: string): void {
    for (const outlet of this.#chosen(channel)) outlet.flush();
  }

  unsubscribe(channel?: string): void {
    for (const outlet of this.#chosen(channel)) outlet.unsubscribe();
  }

  subscribe(channel?: string): void {
    for (const outlet of this.#chosen(channel)) outlet.subscribe();
  }

  /** Statuses that wait, and calls under way; `idle`: nothing will happen by itself. */
  get load(): { waiting: number; active: number; idle: boolean } {
    let waiting = 0;
    let active = 0;
    let idle = true;
    for (const outlet of this.#outlets.values()) {
      waiting += outlet.waiting;
      active += outlet.active;
      if (outlet.active > 0 || (outlet.waiting > 0 && !outlet.held)) idle = false;
    }
    return { waiting, active, idle };
  }

  async stop(): Promise<void> {
    for (const outlet of this.#outlets.values()) outlet.hold();
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
  }

  #chosen(channel: string | undefined): ChannelOutlet[] {
    const names = channel === undefined ? Object.keys(this.#world.resolver.settings.channels) : [channel];
    return names.map((name) => this.#outlet(name));
  }

  #outlet(name: string): ChannelOutlet {
    let outlet = this.#outlets.get(name);
    if (outlet === undefined) {
      outlet = new ChannelOutlet(
        this.#world,
        name,
        (target, origin, connections) => this.#pool(target, origin, connections),
        () => ++this.#calls,
      );
      this.#outlets.set(name, outlet);
    }
    return outlet;
  }

  #pool(target: string, origin: string, connections: number): Pool {
    const name = `${target} ${connections}`;
    let pool = this.#pools.get(name);
    if (pool === undefined) {
      pool = new Pool(origin, { connections, pipelining: 1, connect: { timeout: 5_000 } });
      this.#pools.set(name, pool);
    }
    return pool;
  }
}
