/** One attempt: read the body, check the lease last thing, send, classify, report. The claim is on disk before. */

import { headSequence, type Room } from '../room/room.ts';
import type { Bodies } from './bodies.ts';
import type { Channels, Permit } from './channels.ts';
import type { Instruments } from './instruments.ts';
import type { Tenure } from './ownership.ts';
import { channelName } from './policy.ts';
import type { ChannelKey, Clock, LookupResult, PlatformChannel, SendRequest, SendResult } from './ports.ts';
import { Preparations } from './preparing.ts';
import type { References } from './reference.ts';

export interface DispatchDependencies {
  readonly clock: Clock;
  readonly platform: (key: ChannelKey) => PlatformChannel | null;
  readonly channels: Channels;
  readonly bodies: Bodies;
  readonly references: References;
  readonly tenure: Tenure;
  readonly instruments: Instruments;
}

const STORE_RETRY_MS = 250;

export interface AttemptCallbacks {
  /** False where an ack has settled the message since it was claimed: a copy could follow the next one. */
  readonly isWanted: () => boolean;
  /** The request is about to be handed to the platform's client. */
  readonly onLeaving: () => void;
  readonly onResult: (result: SendResult) => void;
}

/** With less than this left of its time, a request with the links is left to the next attempt. */
const LEAST_RESEND_MS = 250;

export class Attempts {
  readonly #to: DispatchDependencies;
  readonly #open = new Set<Promise<unknown>>();
  /** Uploads that go ahead of their messages. */
  readonly preparations: Preparations;

  constructor(dependencies: DispatchDependencies) {
    this.#to = dependencies;
    const { tenure } = dependencies;
    this.preparations = new Preparations({
      ...dependencies,
      onStoreFailure: (error) => tenure.storeFailed(error),
    });
  }

  /** Sends the attempt that `room` has just claimed; the permit is given back when the platform has answered. */
  send(room: Room, permit: Permit, callbacks: AttemptCallbacks): void {
    this.track(this.#attempt(room, permit, callbacks));
  }

  lookUp(room: Room, sequence: number, onResult: (result: LookupResult) => void): void {
    const lookup = this.#to.platform(room.key)?.lookup ?? null;
    if (lookup === null) return;
    const timeoutMs = this.#timeoutMs(room);
    this.track(lookup(this.#to.references.encode(room, sequence), timeoutMs).then(onResult));
  }

  /** Counts a piece of work that a graceful end waits for. */
  track(work: Promise<unknown>): Promise<unknown> {
    this.#open.add(work);
    work.then(
      () => this.#open.delete(work),
      (error: unknown) => {
        this.#open.delete(work);
        throw error;
      },
    );
    return work;
  }

  /** Does what has to be stored, however long the store takes, or until there is nothing to be done any more. */
  insist(work: () => Promise<unknown>, ended: () => boolean): Promise<unknown> {
    const { clock, tenure } = this.#to;
    const persist = async (): Promise<unknown> => {
      for (;;) {
        try {
          return await work();
        } catch (error) {
          tenure.storeFailed(error);
          if (ended()) return null;
          await new Promise<void>((resolve) => clock.after(STORE_RETRY_MS, resolve));
        }
      }
    };
    return this.track(persist());
  }

  /** Nothing more is begun from here on: resolves when what is under way has ended. */
  async idle(): Promise<void> {
    await this.preparations.close();
    while (this.#open.size > 0) await Promise.allSettled(this.#open);
  }

  async #attempt(room: Room, permit: Permit, callbacks: AttemptCallbacks): Promise<void> {
    const { instruments, clock, channels } = this.#to;
    const name = channelName(room.key);
    const startedAt = clock.monotonic();
    const begunAt = room.attempts.at(-1)?.begunAt ?? clock.now();
    instruments.metrics.openSends.inc({ channel: name });
    let result: SendResult;
    try {
      const sent = await this.#transmit(room, callbacks);
      result = sent.result;
      if (sent.reachedPlatform) channels.report(room.key, result, room.id, begunAt);
    } finally {
      instruments.metrics.openSends.dec({ channel: name });
      permit.release();
    }
    this.#tell(room, result, clock.monotonic() - startedAt);
    callbacks.onResult(result);
  }

  async #transmit(
    room: Room,
    { isWanted, onLeaving }: AttemptCallbacks,
  ): Promise<{ result: SendResult; reachedPlatform: boolean }> {
    const { bodies, clock, platform, references, tenure } = this.#to;
    const sequence = headSequence(room);
    const client = platform(room.key);
    const attempt = room.attempts.at(-1);
    const timeoutMs = this.#timeoutMs(room);
    if (client === null || attempt === undefined) return notSent('channel_not_configured', 'room');
    const body = await bodies.read(room, sequence).catch((error: unknown) => {
      tenure.storeFailed(error);
      return undefined;
    });
    if (body === undefined) return notSent('store_unavailable', 'room');
    if (!isWanted()) return notSent('settled_meanwhile', 'room');
    if (body === null) return notSent('body_gone', 'room');
    // The last thing before the bytes leave: a lease that ends before the send could would let another worker in.
    const sameLife = tenure.proof()?.worker === attempt.worker;
    if (!sameLife || !tenure.outlives(room.shard, timeoutMs)) return notSent('lease_not_trusted', 'channel');
    onLeaving();
    const startedAt = clock.monotonic();
    const { worker, generation, number } = attempt;
    const request: SendRequest = {
      reference: references.encode(room, sequence),
      body,
      attempt: number,
      worker,
      generation,
      timeoutMs,
    };
    const prepared = this.preparations.take(room, sequence, body);
    const result = await client.send(prepared === null ? request : { ...request, prepared });
    if (result.kind !== 'refused' || result.preparedRefused !== true) return { result, reachedPlatform: true };
    this.preparations.refused(room, sequence);
    // Nothing was sent: with the links it is still the same attempt, in its time, and under its lease.
    const leftMs = Math.floor(timeoutMs - (clock.monotonic() - startedAt));
    const inTime = leftMs >= LEAST_RESEND_MS && tenure.outlives(room.shard, leftMs);
    if (!inTime || !isWanted() || tenure.proof()?.worker !== attempt.worker) return { result, reachedPlatform: true };
    return { result: await client.send({ ...request, timeoutMs: leftMs }), reachedPlatform: true };
  }

  #timeoutMs(room: Room): number {
    return this.#to.channels.get(room.key)?.settings.sendTimeoutMs ?? 5_000;
  }

  #tell(room: Room, result: SendResult, durationMs: number): void {
    const { instruments } = this.#to;
    const name = channelName(room.key);
    instruments.metrics.attempts.inc({ result: result.kind, channel: name });
    const sequence = headSequence(room);
    const { attempt } = room;
    instruments.telemetry.emit('attempt.finished', {
      room: room.key,
      sequence,
      attempt,
      result: result.kind,
      durationMs,
    });
    const where = {
      tenant: room.key.tenant,
      channel: room.key.channel,
      room: instruments.hash(room.key.room),
      sequence,
      attempt,
    };
    const code = result.kind === 'accepted' ? undefined : result.kind === 'refused' ? result.nack.code : result.code;
    if (result.kind === 'unknown') instruments.log.event('attempt.unknown', { ...where, reason: result.code });
    const generation = room.attempts.at(-1)?.generation ?? 0;
    instruments.log.event('attempt.finished', { ...where, generation, result: result.kind, durationMs, code });
  }
}

/**
 * A definite end without a byte sent: no attempt is used up. `channel`: the room asks for a permit again at once, which
 * waits for the lease; `room`: it backs off.
 */
function notSent(code: string, scope: 'room' | 'channel'): { result: SendResult; reachedPlatform: boolean } {
  const nack = { permanent: false, scope, retryAfterMs: null, code } as const;
  return { result: { kind: 'refused', nack }, reachedPlatform: false };
}
