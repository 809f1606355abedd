/**
 * A channel's condition and its permits. A permit is a concurrency slot and a token of each rate limit, in hand before a
 * claim; p-queue guards it. A channel that refuses, or answers nothing, is stopped: rooms keep their places in its
 * queue, one probe at a time asks whether it works again, and then a ramp opens it: 1, 2, 4 … permits. Where a status
 * told the refusal, an accepted probe opens it only by its own ack, or by the quiet that follows it.
 */
import PQueue from 'p-queue';
import type { ChannelView } from '../room/explain.ts';
import type { Nack } from '../room/room.ts';
import { forgetChannelState, recordChannelState } from '../telemetry.ts';
import { AckWatch } from './ack-watch.ts';
import { isOwnAffair, isUnreachable, reasonOf } from './conditions.ts';
import type { Instruments } from './instruments.ts';
import { type ChannelSettings, channelName } from './policy.ts';
import type { ChannelCondition, ChannelKey, ChannelStore, Clock, SendResult, SharedRates } from './ports.ts';
import { type Rate, Rates, strictest, UNLIMITED } from './rates.ts';
import { Tallies } from './tallies.ts';

export interface Permit {
  /** Gives the slot back. Idempotent. */
  release(): void;
}

export interface ChannelDependencies {
  readonly clock: Clock;
  readonly store: ChannelStore;
  readonly instruments: Instruments;
  /** A condition has been stored, for others to take up. */
  readonly onStored: () => void;
}

/** A room in the permit queue. */
interface Place {
  readonly grant: (permit: Permit) => void;
  wanted: boolean;
  /** Gives its slot up, while it waits for tokens. */
  leaveTokens: (() => void) | null;
}

/** Where a channel's tokens come from. */
export interface ChannelRates {
  readonly channel: Rate;
  readonly account: Rate;
}

const NO_LIMITS: ChannelRates = { channel: UNLIMITED, account: UNLIMITED };

/** Until a platform says how long, a limited channel waits this long. */
const DEFAULT_RETRY_AFTER_MS = 1_000;

export class Channel {
  readonly name: string;
  readonly acks: AckWatch;
  #settings: ChannelSettings;
  readonly #dependencies: ChannelDependencies;
  readonly #queue: PQueue;
  #rate: Rate;
  #accountRate: Rate;
  /** Refusals of attempts that began before this are of former settings. */
  #configuredAt = Number.NEGATIVE_INFINITY;
  /** Those that have a slot and no token yet. */
  readonly #awaitingTokens = new Set<Place>();
  #condition: ChannelCondition = { state: 'open' };
  /** How often in a row the channel refused its probe. */
  #refusals = 0;
  /** Ends the wait for the next probe, or for the quiet after an accepted one. */
  #cancelProbe: (() => void) | null = null;
  /** The platform accepts and refuses later, by status: its acceptance proves nothing. */
  #refusedByStatus = false;
  /** The room of the accepted probe that has yet to prove that the channel works. */
  #probingRoom: number | null = null;
  /** Engine time of the last change of condition, whoever made it. */
  #changedAt = Number.NEGATIVE_INFINITY;
  /** Attempts that began before this say nothing about the present condition. */
  #conditionSince = 0;
  /** Two last definite answers with the rooms they concerned, newest first. */
  #answers: { readonly at: number; readonly room: number }[] = [];
  #saving: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(settings: ChannelSettings, dependencies: ChannelDependencies, rates: ChannelRates = NO_LIMITS) {
    this.#settings = settings;
    this.#rate = rates.channel;
    this.#accountRate = rates.account;
    this.name = channelName(settings.key);
    this.#dependencies = dependencies;
    this.#queue = new PQueue({ concurrency: settings.maxConcurrentSends });
    const inOutage = (): boolean => this.#condition.state === 'ack_outage';
    this.acks = new AckWatch(settings, { ...dependencies, inOutage });
    recordChannelState(dependencies.instruments.metrics, this.name, 'open');
  }

  get settings(): ChannelSettings {
    return this.#settings;
  }

  get condition(): ChannelCondition {
    return this.#condition;
  }

  get view(): Required<ChannelView> {
    const condition = this.#condition;
    return {
      state: condition.state,
      reason: 'reason' in condition ? condition.reason : null,
      until: condition.state === 'slowed' ? condition.until : null,
      ackTimeoutMs: this.acks.timeoutMs() ?? this.#settings.policy.ackTimeoutMs,
    };
  }

  /** Rooms that wait for a permit. */
  get queued(): number {
    return this.#queue.size + this.#awaitingTokens.size;
  }

  // ------------------------------------------------------------------------------------------------------- permits

  /** A permit, if one is free and nobody waits for it. */
  tryAcquire(): Permit | null {
    const free = !this.#queue.isPaused && this.#queue.size === 0 && this.#queue.pending < this.#queue.concurrency;
    if (!free || this.#closed || !this.#tryTakeTokens()) return null;
    let permit: Permit | null = null;
    void this.#queue.add(
      () =>
        new Promise<void>((resolve) => {
          permit = { release: resolve };
        }),
    );
    return permit;
  }

  /** Stands in the permit queue. The result leaves it; a permit that is granted all the same is given back at once. */
  request(grant: (permit: Permit) => void): () => void {
    const place: Place = { grant, wanted: true, leaveTokens: null };
    this.#enter(place, 0);
    return () => {
      place.wanted = false;
      place.leaveTokens?.();
    };
  }

  #enter(place: Place, priority: number): void {
    void this.#queue.add(
      () =>
        new Promise<void>((resolve) => {
          if (!place.wanted || this.#closed) resolve();
          else this.#awaitTokens(place, resolve);
        }),
      { priority },
    );
  }

  /** With a slot in hand. */
  #awaitTokens(place: Place, release: () => void): void {
    let granted = false;
    const cancel = this.#takeTokens(() => {
      granted = true;
      place.leaveTokens = null;
      this.#awaitingTokens.delete(place);
      place.grant({ release });
    });
    if (granted) return;
    this.#awaitingTokens.add(place);
    place.leaveTokens = () => {
      place.leaveTokens = null;
      this.#awaitingTokens.delete(place);
      cancel();
      release();
    };
  }

  /** Whoever has a slot and no token yet goes back to the head of the queue. */
  #withdraw(): void {
    this.standBack()();
  }

  /** Whoever has a slot and no token yet gives both up; the result lets them in again, before all others. */
  standBack(): () => void {
    const places = [...this.#awaitingTokens];
    for (const place of places) place.leaveTokens?.();
    return () => {
      for (const place of places) this.#enter(place, 1);
    };
  }

  #tryTakeTokens(): boolean {
    if (!this.#rate.tryTake()) return false;
    if (this.#accountRate.tryTake()) return true;
    this.#rate.giveBack();
    return false;
  }

  /** The result gives up what was not granted yet. */
  #takeTokens(run: () => void): () => void {
    let cancel: () => void = () => undefined;
    let atAccount = false;
    let granted = false;
    const cancelOwn = this.#rate.take(() => {
      atAccount = true;
      cancel = this.#accountRate.take(() => {
        granted = true;
        run();
      });
    });
    return () => {
      if (granted) return;
      if (!atAccount) {
        cancelOwn();
        return;
      }
      cancel();
      this.#rate.giveBack();
    };
  }

  // ------------------------------------------------------------------------------------------ what attempts tell us

  /** What an attempt of `room`, begun at `begunAt`, says of the channel. */
  report(result: SendResult, room: number, begunAt: number): void {
    switch (result.kind) {
      case 'accepted':
        this.#answered(room);
        this.#works(begunAt, room);
        return;
      case 'refused':
        if (result.nack.scope === 'channel' || result.nack.scope === 'account') {
          this.#refused(result.nack, begunAt);
          return;
        }
        this.#answered(room);
        if (this.#refusedByStatus && this.#isClosedFor(begunAt)) this.#probeAgain();
        else this.#works(begunAt, room);
        return;
      case 'unknown':
        // Judged when its grace is over, against the answers that others got meanwhile. As a probe it is no answer.
        if (this.#isClosedFor(begunAt)) this.#probeAgain();
        return;
      default:
        result satisfies never;
    }
  }

  /** A status says that the platform refuses the channel or account. */
  reportNack(nack: Nack): void {
    // Before the next probe leaves, it concerns what was under way when the first one came.
    if (this.#refusedByStatus && this.#cancelProbe !== null && this.#probingRoom === null) return;
    this.#refusedByStatus = true;
    this.#refused(nack, this.#dependencies.clock.now());
  }

  /** An unknown outcome found nobody else answered: the channel is silent. */
  reportSilent(): void {
    if (this.#condition.state === 'stopped' || this.#condition.state === 'slowed') return;
    this.#change({ state: 'stopped', reason: 'no_answer', since: this.#dependencies.clock.now() });
    this.#probeAgain();
  }

  /** True where the channel gave a definite answer to another room's message since `begunAt`. */
  answeredSince(begunAt: number, room: number): boolean {
    return this.#answers.some((answer) => answer.at >= begunAt && answer.room !== room);
  }

  // ------------------------------------------------------------------------------------------------------------ acks

  /** @param settledRoom the room whose message in flight a status has settled; null for every other ack */
  reportAck(settledRoom: number | null = null): void {
    this.acks.arrived();
    if (this.#condition.state === 'ack_outage') this.#change({ state: 'open' });
    if (settledRoom === null) return;
    if (settledRoom === this.#probingRoom) this.#reopen();
    if (this.#condition.state === 'open') this.#refusals = 0;
  }

  reportAckTimeout(): void {
    const stopped = this.acks.timedOut();
    if (!stopped || this.#condition.state !== 'open') return;
    this.#change({ state: 'ack_outage', since: this.#dependencies.clock.now() });
  }

  // ------------------------------------------------------------------------------------------------------- life cycle

  /** Takes up the condition that the store remembers from an earlier life. */
  restore(condition: ChannelCondition, at: number): void {
    this.#condition = condition;
    this.#changedAt = at;
    recordChannelState(this.#dependencies.instruments.metrics, this.name, condition.state);
    if (condition.state === 'slowed') {
      this.#queue.pause();
      this.#scheduleProbe(Math.max(0, condition.until - this.#dependencies.clock.now()));
    }
    if (condition.state === 'stopped') {
      this.#queue.pause();
      this.#scheduleProbe(0);
    }
  }

  /**
   * Takes up what another process found out. The newest change counts, whoever made it. What a process found out about
   * its own way to the platform (silence, no connection) is its own affair: nobody takes it up, and nobody's word ends it.
   */
  takeUp(condition: ChannelCondition, at: number): void {
    if (at <= Math.max(this.#changedAt, this.#configuredAt) || isOwnAffair(condition)) return;
    if (condition.state === 'open' && isOwnAffair(this.#condition)) return;
    const before = this.#condition;
    this.#condition = condition;
    this.#changedAt = at;
    if (before.state === 'ack_outage' && condition.state === 'open') {
      // The ack that ended it arrived elsewhere.
      this.acks.arrived();
      this.acks.outageEnded();
    }
    if (before.state !== condition.state || reasonOf(before) !== reasonOf(condition)) this.#tell();
    if (condition.state === 'open' || condition.state === 'ack_outage') {
      this.#letGo();
      return;
    }
    // Where an acceptance would prove it, whoever stopped the channel finds out as well.
    this.#refusedByStatus = true;
    const now = this.#dependencies.clock.now();
    this.#scheduleProbe(condition.state === 'slowed' ? Math.max(0, condition.until - now) : this.#probeDelayMs());
  }

  /**
   * Goes on under other settings: places in the queue, permits and condition stay. A channel that is stopped is tried
   * again at once. Only while nobody waits for tokens.
   */
  configure(settings: ChannelSettings, rates: ChannelRates): void {
    const { concurrency } = this.#queue;
    const full = concurrency >= this.#settings.maxConcurrentSends;
    this.#settings = settings;
    this.acks.configure(settings);
    this.#rate = rates.channel;
    this.#accountRate = rates.account;
    this.#configuredAt = this.#dependencies.clock.now();
    const most = settings.maxConcurrentSends;
    this.#queue.concurrency = full ? most : Math.min(concurrency, most);
    if (this.#condition.state !== 'stopped') return;
    this.#refusals = 0;
    this.#scheduleProbe(0);
  }

  /** Grants no further permits; resolves when the last condition is stored. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelProbe?.();
    this.#cancelProbe = null;
    this.#withdraw();
    this.#queue.start();
    await this.#saving;
  }

  // -------------------------------------------------------------------------------------------------------- internals

  #answered(room: number): void {
    const [newest] = this.#answers;
    const answer = { at: this.#dependencies.clock.now(), room };
    // The newest answers of two different rooms are enough to tell whether another room was answered.
    this.#answers =
      newest === undefined || newest.room === room ? [answer, ...this.#answers.slice(1)] : [answer, newest];
  }

  #works(begunAt: number, room: number): void {
    // Any answer ends a silence, whenever its attempt began; a refusal is only taken back by a later attempt's answer.
    const silent = this.#condition.state === 'stopped' && this.#condition.reason === 'no_answer';
    if (begunAt < this.#conditionSince && !silent) return;
    if (this.#refusedByStatus) {
      this.#awaitProof(room);
      return;
    }
    this.#ramp();
    if (this.#condition.state === 'stopped' || this.#condition.state === 'slowed') {
      this.#refusals = 0;
      this.#reopen();
    }
  }

  /** No other attempt begins until the probe's ack, its refusal, or a quiet time. */
  #awaitProof(room: number): void {
    if (this.#closed) return;
    this.#queue.pause();
    this.#withdraw();
    this.#probingRoom = room;
    this.#cancelProbe?.();
    // Quiet is a weak proof: the pauses go on growing until an ack comes.
    const quietMs = Math.max(this.settings.policy.ackTimeoutMs, this.#probeDelayMs());
    this.#cancelProbe = this.#dependencies.clock.after(quietMs, () => this.#reopen());
  }

  /** True where the channel is stopped or slowed and the attempt began since: it was a probe. */
  #isClosedFor(begunAt: number): boolean {
    const closed = this.#condition.state === 'stopped' || this.#condition.state === 'slowed';
    return closed && begunAt >= this.#conditionSince;
  }

  #probeAgain(): void {
    this.#refusals++;
    this.#scheduleProbe(this.#probeDelayMs());
  }

  #reopen(): void {
    this.#change({ state: 'open' });
    this.#letGo();
  }

  #letGo(): void {
    this.#refusedByStatus = false;
    this.#probingRoom = null;
    this.#cancelProbe?.();
    this.#cancelProbe = null;
    if (this.#queue.isPaused) {
      this.#queue.concurrency = Math.min(2, this.settings.maxConcurrentSends);
      this.#queue.start();
    }
  }

  /** After a stop the number of permits doubles with each answer. */
  #ramp(): void {
    if (this.#queue.isPaused || this.#queue.concurrency >= this.settings.maxConcurrentSends) return;
    this.#queue.concurrency = Math.min(this.settings.maxConcurrentSends, this.#queue.concurrency * 2);
  }

  #refused(nack: Nack, begunAt: number): void {
    if (begunAt < this.#configuredAt) return;
    const now = this.#dependencies.clock.now();
    const stopped = this.#condition.state === 'stopped' || this.#condition.state === 'slowed';
    if (stopped && begunAt < this.#conditionSince) return;
    this.#refusals++;
    if (nack.permanent || isUnreachable(nack.code)) {
      this.#change({ state: 'stopped', reason: nack.code, since: now });
      this.#scheduleProbe(this.#probeDelayMs());
      return;
    }
    const waitMs = this.#slowedMs(nack.retryAfterMs);
    this.#change({ state: 'slowed', until: now + waitMs, reason: nack.code });
    this.#scheduleProbe(waitMs);
  }

  /** What the platform asked for; where it asks for next to nothing and refuses again, it is not hammered. */
  #slowedMs(retryAfterMs: number | null): number {
    if (retryAfterMs === null) return Math.max(this.#probeDelayMs(), DEFAULT_RETRY_AFTER_MS);
    return this.#refusals > 1 ? Math.max(retryAfterMs, this.settings.probe.initialMs) : retryAfterMs;
  }

  #probeDelayMs(): number {
    const { initialMs, maxMs } = this.settings.probe;
    return Math.min(maxMs, initialMs * 2 ** Math.max(0, this.#refusals - 1));
  }

  /** Stops the queue; after the delay lets one room through. */
  #scheduleProbe(delayMs: number): void {
    if (this.#closed) return;
    this.#queue.pause();
    this.#withdraw();
    this.#conditionSince = this.#dependencies.clock.now();
    this.#probingRoom = null;
    this.#cancelProbe?.();
    this.#cancelProbe = this.#dependencies.clock.after(delayMs, () => {
      this.#cancelProbe = null;
      this.#queue.concurrency = 1;
      this.#queue.start();
    });
  }

  #tell(): void {
    const { log, metrics, telemetry } = this.#dependencies.instruments;
    const { state } = this.#condition;
    const reason = reasonOf(this.#condition);
    recordChannelState(metrics, this.name, state);
    log.event('channel.state', { channel: this.name, state, reason: reason ?? undefined });
    telemetry.emit('channel.state', { channel: this.name, state, reason });
  }

  #change(condition: ChannelCondition): void {
    const before = this.#condition;
    this.#condition = condition;
    if (before.state === condition.state && reasonOf(before) === reasonOf(condition)) return;
    const { instruments, store, clock, onStored } = this.#dependencies;
    this.#changedAt = clock.now();
    if (before.state === 'ack_outage') this.acks.outageEnded();
    this.#tell();
    // What is stored serves restarts and people; deciding goes on from memory while the store is away.
    this.#saving = this.#saving
      .then(() => store.save(this.settings.key, this.#condition, this.#changedAt))
      .then(onStored)
      .catch(() => instruments.telemetry.emit('dependency.lost', { dependency: 'postgres' }));
  }
}

export interface ChannelsDependencies extends ChannelDependencies {
  /** The part of every limit that is this process's, above 0 and up to 1. */
  readonly share: () => number;
  /** Null: each process keeps to its share. */
  readonly sharedRates: SharedRates | null;
}

export class Channels {
  /** Of channels that are configured no more, too. */
  readonly tallies = new Tallies();
  readonly #channels = new Map<string, Channel>();
  readonly #dependencies: ChannelsDependencies;
  readonly #rates: Rates;
  #restored = false;

  constructor(settings: readonly ChannelSettings[], dependencies: ChannelsDependencies) {
    const { clock, share, sharedRates } = dependencies;
    this.#dependencies = dependencies;
    this.#rates = new Rates(clock, share, sharedRates);
    for (const one of settings) this.configure(one);
  }

  /** Takes these settings from now on, of a channel that is there or of a new one. */
  configure(settings: ChannelSettings): void {
    const name = channelName(settings.key);
    const before = this.#channels.get(name);
    const former = before === undefined ? [] : this.#sharingAccount(before.settings);
    const touched = new Set([...former, ...this.#sharingAccount(settings)]);
    const letIn = [...touched].map((channel) => channel.standBack());
    const channelRate = this.#rates.limited(`channel ${name}`, settings.channelLimit);
    const others = this.#sharingAccount(settings).filter((channel) => channel !== before);
    const accountRate = this.#limitAccount(settings, [...others.map((each) => each.settings), settings]);
    const rates = { channel: channelRate, account: accountRate };
    if (before === undefined) this.#channels.set(name, new Channel(settings, this.#dependencies, rates));
    else before.configure(settings, rates);
    for (const { settings: one } of former) this.#limitAccount(one);
    for (const enter of letIn) enter();
  }

  /** Its rooms stand in no queue any more; what its open sends tell is not heard. */
  async remove(key: ChannelKey): Promise<void> {
    const channel = this.get(key);
    if (channel === null) return;
    this.#channels.delete(channel.name);
    const sharing = this.#sharingAccount(channel.settings);
    const letIn = sharing.map((each) => each.standBack());
    this.#limitAccount(channel.settings);
    for (const enter of letIn) enter();
    await channel.close();
    if (this.get(key) === null) forgetChannelState(this.#dependencies.instruments.metrics, channel.name);
  }

  /** While the channels of an account do not agree on its limit, the strictest counts. */
  #limitAccount(one: ChannelSettings, sharing = this.#sharingAccount(one).map(({ settings }) => settings)): Rate {
    const limit = strictest(sharing.map(({ accountLimit }) => accountLimit));
    return this.#rates.limited(`account ${one.key.tenant}/${one.account}`, limit);
  }

  get(key: ChannelKey): Channel | null {
    return this.#channels.get(channelName(key)) ?? null;
  }

  /** What an attempt of `room` says of its channel; a refusal of the account concerns all channels of the account. */
  report(key: ChannelKey, result: SendResult, room: number, begunAt: number): void {
    const own = this.get(key);
    if (own === null) return;
    const ofAccount = result.kind === 'refused' && result.nack.scope === 'account';
    for (const channel of ofAccount ? this.#sharingAccount(own.settings) : [own]) channel.report(result, room, begunAt);
  }

  /** A status that refuses the channel or its account. */
  reportNack(key: ChannelKey, nack: Nack): void {
    const own = this.get(key);
    if (own === null) return;
    for (const channel of nack.scope === 'account' ? this.#sharingAccount(own.settings) : [own])
      channel.reportNack(nack);
  }

  #sharingAccount({ account, key }: ChannelSettings): Channel[] {
    return this.all().filter(({ settings }) => settings.account === account && settings.key.tenant === key.tenant);
  }

  all(): readonly Channel[] {
    return [...this.#channels.values()];
  }

  /** Once: what the store remembers counts only until this process has seen more. */
  async restore(): Promise<void> {
    if (this.#restored) return;
    const stored = await this.#dependencies.store.load();
    this.#restored = true;
    for (const { channel, condition, at } of stored) this.get(channel)?.restore(condition, at);
  }

  /** What other processes have stored since. */
  async takeUp(): Promise<void> {
    for (const { channel, condition, at } of await this.#dependencies.store.load()) {
      this.get(channel)?.takeUp(condition, at);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.all().map((channel) => channel.close()));
  }
}
