import { contentHash } from './content-hash.ts';
import { drawDelayMs } from './delay.ts';
import type { Exchange } from './exchange.ts';
import type { ReceiptRecord } from './ground-truth.ts';
import { Limits } from './limits.ts';
import type { Message } from './message.ts';
import type { Outages } from './outages.ts';
import type { Phones } from './phone.ts';
import type { Answer, SendRequest } from './profile.ts';
import { Draws, hashText, Purpose } from './random.ts';
import type { Registry } from './registry.ts';
import { obeyMarker } from './resolve.ts';
import { SenderQueues } from './sender-queue.ts';
import { type Fault, type Limit, type MessageKnobs, type Refusal, SettingsError } from './settings.ts';
import { raise } from './stats.ts';
import type { Statuses } from './statuses.ts';
import type { Uploads } from './uploads.ts';
import type { World } from './world.ts';

/** A request whose channel is known. */
export interface Incoming {
  exchange: Exchange;
  channel: string;
  account: string;
  reference: string | undefined;
  attempt: number;
  /** Draws of this attempt; those of the message are in the registry. */
  draws: Draws;
}

interface Named {
  fault: Fault;
  name: string;
}

const SERVER_ERROR_BODY = {
  json: { headers: ['content-type', 'application/json'], body: '{"error":{"code":"internal"}}' },
  html: { headers: ['content-type', 'text/html'], body: '<html><body><h1>Bad Gateway</h1></body></html>' },
  empty: { headers: [], body: '' },
};

const withoutReceipts = (knobs: MessageKnobs): MessageKnobs => {
  const { delivered, read } = knobs.status;
  const none = { probability: 0 };
  return { ...knobs, status: { ...knobs.status, delivered: { ...delivered, ...none }, read: { ...read, ...none } } };
};

const refusalBy = (limit: Limit, waitMs: number): Refusal => {
  const refusal = limit?.refusal ?? { status: 429, bare: true };
  return { ...refusal, retryAfterMs: refusal.retryAfterMs ?? Math.ceil(waitMs) };
};

/** Accepted, and told as failed without ever having left. */
const failing = (
  knobs: MessageKnobs,
  why: Pick<MessageKnobs['status']['failure'], 'code' | 'permanent' | 'scope'>,
): MessageKnobs => {
  const { sent, failure } = knobs.status;
  const status = {
    ...knobs.status,
    sent: { ...sent, probability: 0 },
    failure: { ...failure, probability: 1, ...why },
  };
  return { ...knobs, status };
};

/** Receives send requests: checks, limits, faults, acceptance, answer. */
export class Sending {
  readonly #world: World;
  readonly #registry: Registry;
  readonly #phones: Phones;
  readonly #statuses: Statuses;
  readonly #outages: Outages;
  readonly #uploads: Uploads;
  readonly #limits = new Limits();
  readonly #queues = new SenderQueues();
  /** Messages that are accepted and not answered, by channel and recipient. */
  readonly #unsent = new Map<string, number>();
  /** Until when a channel was asked to wait (platform time). */
  readonly #askedToWait = new Map<string, number>();
  #receipts = 0;
  /** Requests that were read and not yet answered. */
  open = 0;

  constructor(
    world: World,
    registry: Registry,
    phones: Phones,
    statuses: Statuses,
    outages: Outages,
    uploads: Uploads,
  ) {
    this.#world = world;
    this.#registry = registry;
    this.#phones = phones;
    this.#statuses = statuses;
    this.#outages = outages;
    this.#uploads = uploads;
  }

  /** A request's head has arrived. Returns undefined when it has been dealt with and its body does not matter. */
  head(exchange: Exchange, channel: string): Incoming | undefined {
    const incoming = this.#incoming(exchange, channel);
    this.#world.stats.requests++;
    if (this.#world.now() < (this.#askedToWait.get(channel) ?? 0)) this.#world.stats.beforeRetryAfter++;
    const struck = this.#strike(this.#world.resolver.base(channel), incoming);
    if (struck?.fault.kind !== 'reset' || struck.fault.when !== 'before_read') return incoming;
    this.#record(incoming, undefined, { decision: 'dropped', fault: struck.name });
    exchange.reset();
    return undefined;
  }

  /** No channel has this token. */
  unauthorized(exchange: Exchange): void {
    this.#world.stats.requests++;
    const incoming = this.#incoming(exchange, undefined);
    this.#refuse(incoming, undefined, { status: 401, bare: true }, 'unauthorized');
  }

  /** The rest of the request is there; undefined: it is too large. */
  body(incoming: Incoming, body: Buffer | undefined, path: string): void {
    const { exchange, channel } = incoming;
    const channelKnobs = this.#world.resolver.channel(channel);
    if (body === undefined) {
      this.#refuse(incoming, undefined, { status: 413, code: 'too_large', permanent: true }, 'invalid_too_large');
      return;
    }
    const request = this.#world.profile.readSend(exchange.headers, body, channelKnobs, path);
    if ('refusal' in request) {
      this.#refuse(incoming, undefined, request.refusal, `invalid_${request.refusal.code}`);
      return;
    }
    let knobs: MessageKnobs;
    try {
      knobs = this.#knobs(incoming, request, channelKnobs.request.markers);
    } catch (error) {
      if (!(error instanceof SettingsError)) throw error;
      const refusal = { status: 422, code: 'marker', permanent: true, message: error.message };
      this.#refuse(incoming, request, refusal, 'invalid_marker');
      return;
    }
    const struck = this.#strike(knobs, incoming);
    if (struck?.fault.kind !== 'hold_request') this.#process(incoming, request, knobs, struck, 0);
    else {
      const heldMs = drawDelayMs(struck.fault.delayMs, incoming.draws, Purpose.holdRequest);
      this.#world.scheduler.after(heldMs, () => this.#process(incoming, request, knobs, struck, heldMs));
    }
  }

  /** The platform is ill: the request is read and thrown away. */
  thrownAway(exchange: Exchange, channel: string, outage: string, answer: Answer | undefined, definite: boolean): void {
    this.#world.stats.requests++;
    const incoming = this.#incoming(exchange, channel);
    this.#record(incoming, undefined, { decision: answer ? 'refused' : 'dropped', fault: outage });
    if (answer) exchange.answer(answer, !definite, false);
    else exchange.reset();
  }

  #incoming(exchange: Exchange, channel: string | undefined): Incoming {
    const { reference, attempt = 1 } = this.#world.profile.readAttempt(exchange.headers);
    const draws = Draws.of(this.#world.seed, reference ?? `request ${this.#world.stats.requests}`, attempt);
    return {
      exchange,
      channel: channel ?? '',
      account: channel === undefined ? '' : this.#world.resolver.accountOf(channel),
      reference,
      attempt,
      draws,
    };
  }

  #knobs({ channel }: Incoming, request: SendRequest, markers: boolean): MessageKnobs {
    const recipient = this.#phones.recipient(channel, request.to);
    if (recipient.lastReference !== request.reference) {
      if (this.#registry.find(channel, request.reference) === undefined) recipient.nth++;
      recipient.lastReference = request.reference;
    }
    const knobs = this.#world.resolver.message({
      channel,
      to: request.to,
      nth: recipient.nth,
      text: request.text,
      draws: Draws.of(this.#world.seed, request.reference),
      nowMs: this.#world.now(),
    });
    return markers ? obeyMarker(knobs, request.text) : knobs;
  }

  /** The first fault that hits this attempt, if any. */
  #strike(knobs: MessageKnobs, { attempt, draws }: Incoming): Named | undefined {
    for (const name in knobs.send.faults) {
      const fault = knobs.send.faults[name];
      if (fault === undefined || attempt > (fault.attempts ?? attempt)) continue;
      if (draws.chance(Purpose.fault + (hashText(name) % 1_000_000), fault.probability)) return { fault, name };
    }
    return undefined;
  }

  #process(
    incoming: Incoming,
    request: SendRequest,
    knobs: MessageKnobs,
    struck: Named | undefined,
    heldMs: number,
  ): void {
    const { unsent } = this.#world.resolver.channel(incoming.channel);
    const chat = `${incoming.channel} ${request.to}`;
    if (unsent !== null && (this.#unsent.get(chat) ?? 0) >= unsent.most) {
      const held = { ...knobs, send: { ...knobs.send, responseDelayMs: unsent.holdMs } };
      this.#refuse(incoming, request, unsent.refusal, 'too_many_unsent', held);
      return;
    }
    const { over, release } = this.#takeLimits(incoming, request);
    if (over) {
      this.#refuse(incoming, request, over.refusal, over.name, knobs, release);
      return;
    }
    const { outsideWindow, failsOutsideWindow } = this.#world.profile;
    const closed = request.freeForm === true && !knobs.send.windowOpen;
    if (outsideWindow && closed) {
      this.#refuse(incoming, request, outsideWindow, 'outside_window', knobs, release);
      return;
    }
    const missing = this.#uploads.refusalOf(incoming.channel, request);
    if (missing) {
      this.#refuse(incoming, request, missing, 'unknown_media', knobs, release);
      return;
    }
    const { fault, name } = struck ?? {};
    const held = heldMs > 0 ? { heldMs: Math.round(heldMs) } : {};
    if (fault?.kind === 'refuse') this.#refuse(incoming, request, fault, name ?? fault.kind, knobs, release);
    else if (
      (fault?.kind === 'reset' && (fault.when === 'before_read' || fault.when === 'after_read')) ||
      ((fault?.kind === 'silence' || fault?.kind === 'server_error') && fault.when === 'before_acceptance')
    ) {
      this.#record(incoming, request, { decision: 'dropped', fault: name ?? fault.kind, ...held }, release);
      this.#finish(incoming, knobs, fault, undefined);
    } else {
      const fails = closed && failsOutsideWindow !== undefined;
      const fate = fails ? failing(knobs, { code: failsOutsideWindow, permanent: true, scope: 'message' }) : knobs;
      this.#accept(incoming, request, fate, struck, { ...held }, release);
    }
  }

  #accept(
    incoming: Incoming,
    request: SendRequest,
    knobs: MessageKnobs,
    struck: Named | undefined,
    held: { heldMs?: number },
    release: () => void,
  ): void {
    const { channel, exchange } = incoming;
    const fault = struck ? { fault: struck.name } : {};
    const known = this.#registry.duplicateOf(channel, request.reference);
    if (known) {
      this.#world.stats.duplicates++;
      this.#record(incoming, request, { decision: 'duplicate', m: known.no, ...fault, ...held }, release);
      this.#finish(incoming, knobs, struck?.fault, this.#world.profile.accepted(known, true));
      return;
    }
    const turn = this.#queue(channel, request.sentAtMost ? withoutReceipts(knobs) : knobs);
    if ('refusal' in turn) {
      this.#refuse(incoming, request, turn.refusal, 'queue_full', knobs, release);
      return;
    }
    const recipient = this.#phones.recipient(channel, request.to);
    const long = (request.text?.length ?? 0) > knobs.phone.media.longTextLength;
    const message = this.#registry.add(channel, recipient, request, turn.knobs, request.media || long);
    this.#world.stats.accepted++;
    raise(this.#channelStats(channel), 'accepted');
    this.#record(incoming, request, { decision: 'accepted', m: message.no, id: message.id, ...fault, ...held }, () => {
      release();
      this.#statuses.answered(message);
    });
    this.#countUnsent(incoming, request, knobs);
    this.#statuses.drawEarly(message);
    const fetchMs = this.#uploads.fetchMs(channel, request, Draws.of(this.#world.seed, request.reference));
    this.#after(turn.waitMs + fetchMs, () => {
      this.#statuses.accepted(message);
      this.#phones.send(message, message.early?.has('delivered') || message.early?.has('read') || false);
    });
    const answer = this.#world.profile.accepted(message, false);
    if (message.early === undefined || exchange.over) this.#finish(incoming, knobs, struck?.fault, answer);
    else this.#afterEarly(message, () => this.#finish(incoming, knobs, struck?.fault, answer));
  }

  /** It counts until its answer is due, whether or not the client still waits for that. */
  #countUnsent(incoming: Incoming, { to }: SendRequest, knobs: MessageKnobs): void {
    const { channel } = incoming;
    if (this.#world.resolver.channel(channel).unsent === null) return;
    const chat = `${channel} ${to}`;
    this.#unsent.set(chat, (this.#unsent.get(chat) ?? 0) + 1);
    this.#after(this.#responseDelayMs(incoming, knobs), () => {
      const left = (this.#unsent.get(chat) ?? 1) - 1;
      if (left === 0) this.#unsent.delete(chat);
      else this.#unsent.set(chat, left);
    });
  }

  /** How long a message waits for its turn to leave, and what becomes of it where there is no room for it. */
  #queue(channel: string, knobs: MessageKnobs): { waitMs: number; knobs: MessageKnobs } | { refusal: Refusal } {
    const { queue } = this.#world.resolver.channel(channel);
    if (queue === null) return { waitMs: 0, knobs };
    const now = this.#world.now();
    const waitMs = this.#queues.waitMs(channel, queue, now);
    if (waitMs !== undefined) {
      this.#queues.enter(channel, queue, now);
      return { waitMs, knobs };
    }
    if (queue.overflow.kind === 'refuse') return { refusal: queue.overflow };
    raise(this.#world.stats.faults, 'queue_overflow');
    const { code } = queue.overflow;
    return { waitMs: 0, knobs: failing(knobs, { code, permanent: false, scope: 'channel' }) };
  }

  /** Runs once the early statuses have been told, or have taken too long. */
  #afterEarly(message: Message, run: () => void): void {
    const limit = this.#world.scheduler.after(message.knobs.status.early.holdMs, () => {
      message.onEarlyTold = undefined;
      run();
    });
    message.onEarlyTold = () => {
      limit.cancel();
      run();
    };
  }

  /** Ends a request that was accepted (`answer`), or lost without an answer of its own. */
  #finish(incoming: Incoming, knobs: MessageKnobs, fault: Fault | undefined, answer: Answer | undefined): void {
    const { exchange } = incoming;
    const delayMs = this.#responseDelayMs(incoming, knobs);
    switch (fault?.kind) {
      case 'reset':
        this.#after(fault.when === 'before_read' || fault.when === 'after_read' ? 0 : delayMs, () =>
          exchange.reset(fault.when === 'mid_response' ? answer : undefined),
        );
        return;
      case 'silence':
        if (fault.forMs !== undefined) this.#after(fault.forMs, () => exchange.reset());
        // Whoever gets no answer may hear of the message all the same.
        exchange.silent();
        return;
      case 'server_error': {
        const { status } = fault;
        this.#after(delayMs, () =>
          this.#answer(incoming, { status, ...SERVER_ERROR_BODY[fault.body ?? 'json'] }, true),
        );
        return;
      }
      case 'truncate':
        this.#after(delayMs, () => {
          if (answer)
            this.#answer(incoming, { ...answer, body: answer.body.slice(0, -Math.ceil(answer.body.length / 3)) }, true);
        });
        return;
      default:
        this.#after(delayMs, () => {
          if (answer) this.#answer(incoming, answer, false);
        });
    }
  }

  #refuse(
    incoming: Incoming,
    request: SendRequest | undefined,
    refusal: Refusal,
    fault: string,
    knobs?: MessageKnobs,
    release?: () => void,
  ): void {
    const { profile } = this.#world;
    const { definite, permanent } = profile.judge(refusal);
    this.#world.stats.refused++;
    this.#record(incoming, request, { decision: 'refused', fault, ...(permanent ? { permanent } : {}) }, release);
    const delayMs = knobs ? this.#responseDelayMs(incoming, knobs) : 0;
    this.#after(delayMs, () => {
      const waitMs = refusal.retryAfterMs ?? 0;
      const wide = refusal.bare ? refusal.status === 429 : refusal.scope === 'channel' || refusal.scope === 'account';
      if (wide && waitMs > 0) this.#askedToWait.set(incoming.channel, this.#world.now() + waitMs);
      this.#answer(incoming, profile.refused(refusal, this.#world.clock.wallMs()), !definite);
    });
  }

  #answer({ exchange, draws }: Incoming, answer: Answer, unknownOutcome: boolean): void {
    const { closeProbability } = this.#world.resolver.settings.http;
    exchange.answer(answer, unknownOutcome, draws.chance(Purpose.closeConnection, closeProbability));
  }

  #responseDelayMs({ draws, channel }: Incoming, knobs: MessageKnobs): number {
    return drawDelayMs(knobs.send.responseDelayMs, draws, Purpose.responseDelay) + this.#outages.crawlMs(channel);
  }

  /** Takes what the request needs of every limit that holds for it, up to the first that is used up (`over`). */
  #takeLimits(
    { channel, account }: Incoming,
    { to, toGroup, heavy }: SendRequest,
  ): { over: { refusal: Refusal; name: string } | undefined; release: () => void } {
    const { resolver } = this.#world;
    const knobs = resolver.channel(channel);
    const { accounts, account: usual } = resolver.settings;
    const ofAccount = accounts[account]?.limit;
    const limits: [name: string, of: string, limit: Limit][] = [
      ['limit_channel', `channel ${channel}`, knobs.limit],
      ['limit_account', `account ${account}`, ofAccount === undefined ? usual.limit : ofAccount],
      ['limit_pair', `pair ${channel} ${to}`, knobs.pairLimit],
    ];
    if (toGroup) limits.push(['limit_group', `group ${channel} ${to}`, knobs.groupLimit]);
    if (heavy) limits.push(['limit_heavy', `heavy ${channel}`, knobs.heavyLimit]);
    const taken: string[] = [];
    const release = () => {
      for (const of of taken) this.#limits.release(of);
    };
    for (const [name, of, limit] of limits) {
      const waitMs = this.#limits.take(of, limit, this.#world.now());
      if (waitMs !== undefined) return { over: { name, refusal: refusalBy(limit, waitMs) }, release };
      taken.push(of);
    }
    return { over: undefined, release };
  }

  #record(
    { exchange, channel, account, reference }: Incoming,
    request: SendRequest | undefined,
    verdict: Pick<ReceiptRecord, 'decision' | 'm' | 'id' | 'permanent' | 'fault' | 'heldMs'>,
    onEnd: () => void = () => undefined,
  ): void {
    if (verdict.fault !== undefined) raise(this.#world.stats.faults, verdict.fault);
    const r = ++this.#receipts;
    const { attempt, worker, generation } = this.#world.profile.readAttempt(exchange.headers);
    const record: ReceiptRecord = {
      t: 'receipt',
      r,
      at: this.#world.now(),
      wall: Math.round(this.#world.clock.wallMs()),
      conn: exchange.connection.no,
      ...verdict,
    };
    if (channel !== '') record.channel = channel;
    if (account !== channel) record.account = account;
    const named = request?.reference ?? reference;
    if (named !== undefined) record.reference = named;
    if (attempt !== undefined) record.attempt = attempt;
    if (worker !== undefined) record.worker = worker;
    if (generation !== undefined) record.generation = generation;
    if (request) {
      record.to = request.to;
      record.hash = contentHash(request.content);
      if (request.key !== undefined) record.key = request.key;
      if (request.run !== undefined) record.run = request.run;
      if (request.mediaIds !== undefined && request.mediaIds.length > 0) record.media = request.mediaIds;
    }
    this.#world.truth.append(record);
    this.open++;
    exchange.received(r, () => {
      this.open--;
      onEnd();
    });
  }

  #channelStats(channel: string): Record<'accepted' | 'shown', number> {
    this.#world.stats.channels[channel] ??= { accepted: 0, shown: 0 };
    return this.#world.stats.channels[channel];
  }

  #after(delayMs: number, run: () => void): void {
    if (delayMs === 0) run();
    else this.#world.scheduler.after(delayMs, run);
  }
}
