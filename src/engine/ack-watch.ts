/**
 * What the acks of a channel tell its rooms: how long to wait for one, and whether they have stopped altogether. Each
 * process has a watch of its own, fed by the acks that arrive there and by what other processes tell of theirs.
 */
import { unlocks } from '../room/attempts.ts';
import type { Settled } from '../room/events.ts';
import type { AckLevel, Attempt, Policy } from '../room/room.ts';
import { AckDelays } from './ack-delay.ts';
import type { Instruments } from './instruments.ts';
import { type ChannelSettings, channelName } from './policy.ts';
import type { Clock, SettledState } from './ports.ts';

/** So many timeouts without any ack in between, and the estimate is not relied on until the next ack. */
const DOUBTED_AFTER = 10;
/** Delays that other processes are told at a time. */
const MAX_TOLD = 64;

export interface AckWatchDependencies {
  readonly clock: Clock;
  readonly instruments: Instruments;
  /** The channel goes on without acks. */
  readonly inOutage: () => boolean;
}

export class AckWatch {
  readonly #to: AckWatchDependencies;
  #settings: ChannelSettings;
  /** Null where X is fixed. */
  #delays: AckDelays | null;
  #timeoutsInARow = 0;
  #firstTimeoutAt = 0;
  #outageEndedAt = Number.NEGATIVE_INFINITY;
  /** The latest delays that others have not been told. */
  #untold: number[] = [];

  constructor(settings: ChannelSettings, dependencies: AckWatchDependencies) {
    this.#to = dependencies;
    this.#settings = settings;
    this.#delays = delaysOf(settings);
  }

  get isAdaptive(): boolean {
    return this.#delays !== null;
  }

  /** What is known of delays stays, unless it was gathered under another X. */
  configure(settings: ChannelSettings): void {
    const before = this.#settings;
    this.#settings = settings;
    const same =
      before.policy.ackTimeoutMs === settings.policy.ackTimeoutMs &&
      JSON.stringify(before.adaptiveAckTimeout) === JSON.stringify(settings.adaptiveAckTimeout);
    if (!same) this.#delays = delaysOf(settings);
  }

  /** X in ms for a message with this policy that is accepted now; null for the policy's own. Never above that. */
  timeoutMs(policy: Policy = this.#settings.policy): number | null {
    if (this.#to.inOutage()) return Math.min(policy.ackTimeoutMs, this.#settings.ackOutage.gapMs);
    if (this.#delays === null || policy.ownAckTimeout === true || this.#timeoutsInARow >= DOUBTED_AFTER) return null;
    return this.#delays.timeoutMs(this.#to.clock.now());
  }

  /** An ack arrived, of whatever level and for whatever message. */
  arrived(): void {
    this.#timeoutsInARow = 0;
  }

  /** A message settled without its ack. @returns whether acks have stopped altogether */
  timedOut(): boolean {
    const now = this.#to.clock.now();
    if (this.#timeoutsInARow === 0) this.#firstTimeoutAt = now;
    this.#timeoutsInARow++;
    const { minTimeouts, afterMs } = this.#settings.ackOutage;
    return this.#timeoutsInARow >= minTimeouts && now - this.#firstTimeoutAt >= afterMs;
  }

  /** What was accepted until now may have an ack that the outage delayed: it says nothing of the channel's delays. */
  outageEnded(): void {
    this.#outageEndedAt = this.#to.clock.now();
  }

  /** An ack that arrived here has settled its message. Before the channel is told of an ack: that may end its outage. */
  settledBy(fact: Settled): void {
    const acceptedAt = acceptanceOf(fact.attempts, fact.at);
    if (acceptedAt !== null) this.#record(acceptedAt, fact.at);
  }

  /**
   * An ack arrived here for a message that had settled, as it was until then. Counted where it is the one that the message
   * waited for: whether X would have waited for it, or no timeout would.
   */
  cameLate(entry: SettledState, level: AckLevel): void {
    const { policy, key } = this.#settings;
    if (entry.outcome !== 'assumed' || entry.reason !== 'ack_timeout') return;
    if (unlocks(entry, entry.level, policy) || !unlocks(entry, level, policy)) return;
    const now = this.#to.clock.now();
    const acceptedAt = acceptanceOf(entry.attempts, now);
    if (acceptedAt === null) return;
    this.#record(acceptedAt, now);
    const within = now - acceptedAt <= policy.ackTimeoutMs ? 'x' : 'beyond';
    this.#to.instruments.metrics.acksAfterTimeout.inc({ channel: channelName(key), within });
  }

  /** Another process tells how long acks took that arrived there. */
  told(delaysMs: readonly number[]): void {
    if (this.#to.inOutage()) return;
    for (const delayMs of delaysMs) this.#delays?.record(delayMs, this.#to.clock.now());
  }

  /** Delays of acks that arrived here since the last call; of many, the latest. */
  takeUntold(): readonly number[] {
    return this.#untold.splice(0);
  }

  #record(acceptedAt: number, now: number): void {
    if (this.#delays === null || this.#to.inOutage() || acceptedAt < this.#outageEndedAt) return;
    const delayMs = now - acceptedAt;
    this.#delays.record(delayMs, now);
    this.#untold.push(delayMs);
    if (this.#untold.length > MAX_TOLD) this.#untold.shift();
  }
}

function delaysOf({ adaptiveAckTimeout, policy }: ChannelSettings): AckDelays | null {
  return adaptiveAckTimeout === undefined ? null : new AckDelays(adaptiveAckTimeout, policy.ackTimeoutMs);
}

/** When the platform answered; the ack's own time where that came first. Null where it never answered. */
function acceptanceOf(attempts: readonly Attempt[], ackedAt: number): number | null {
  const last = attempts.at(-1);
  if (last?.result === null) return ackedAt;
  return last?.result === 'accepted' ? last.endedAt : null;
}
