/** One attempt: read the body, check the lease last thing, send, classify, report. The claim is on disk before. */

import { headSequence, type Room } from '../room/room.ts';
import type { Bodies } from './bodies.ts';
import type { Channels, Permit } from './channels.ts';
import type { Instruments } from './instruments.ts';
import { splitBody } from './message.ts';
import { OpenWork } from './open-work.ts';
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

/** An attempt under way. */
interface Sending {
  readonly room: Room;
  readonly permit: Permit;
  readonly callbacks: AttemptCallbacks;
  /** In monotonic ms. */
  readonly startedAt: number;
  /** It is over, and what came of it is told. */
  readonly over: () => void;
  /** Of the request that brought the message, once its body is there; null where none did. */
  requestId: string | null;
}

/** With less than this left of its time, a request with the links is left to the next attempt. */
const LEAST_RESEND_MS = 250;

export class Attempts {
  readonly #to: DispatchDependencies;
  readonly #open = new OpenWork();
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
    const { instruments, bodies, clock, tenure } = this.#to;
    const over = this.track();
    instruments.metrics.openSends.inc({ channel: channelName(room.key) });
    const sending: Sending = { room, permit, callbacks, startedAt: clock.monotonic(), over, requestId: null };
    const sequence = headSequence(room);
    const kept = bodies.kept(room, sequence);
    if (kept !== undefined) {
      this.#transmit(sending, kept);
      return;
    }
    void bodies.read(room, sequence).then(
      (body) => this.#transmit(sending, body),
      (error: unknown) => {
        tenure.storeFailed(error);
        this.#ended(sending, notSent('store_unavailable', 'room'), false);
      },
    );
  }

  lookUp(room: Room, sequence: number, onResult: (result: LookupResult) => void): void {
    const lookup = this.#to.platform(room.key)?.lookup ?? null;
    if (lookup === null) return;
    const timeoutMs = this.#timeoutMs(room);
    const over = this.track();
    void lookup(this.#to.references.encode(room, sequence), timeoutMs).then(onResult).finally(over);
  }

  /** Counts a piece of work that a graceful end waits for, until the result is called. */
  track(): () => void {
    this.#open.begin();
    return () => this.#open.end();
  }

  /** Does what has to be stored, however long the store takes, or until there is nothing to be done any more. */
  insist(work: () => Promise<unknown>, ended: () => boolean, onOver: () => void): void {
    const { clock, tenure } = this.#to;
    const persist = async (): Promise<void> => {
      for (;;) {
        try {
          await work();
          return;
        } catch (error) {
          tenure.storeFailed(error);
          if (ended()) return;
          await new Promise<void>((resolve) => clock.after(STORE_RETRY_MS, resolve));
        }
      }
    };
    const over = this.track();
    void persist().then(() => {
      over();
      onOver();
    });
  }

  /** Nothing more is begun from here on: resolves when what is under way has ended. */
  async idle(): Promise<void> {
    await this.preparations.close();
    while (this.#open.count > 0) await this.#open.none();
  }

  #transmit(sending: Sending, body: Uint8Array | null): void {
    const { room, callbacks } = sending;
    const { clock, platform, references } = this.#to;
    const content = body === null ? null : splitBody(body);
    sending.requestId = content?.requestId ?? null;
    const client = platform(room.key);
    const attempt = room.attempts.at(-1);
    const timeoutMs = this.#timeoutMs(room);
    let obstacle: SendResult | null = null;
    if (client === null || attempt === undefined) obstacle = notSent('channel_not_configured', 'room');
    else if (!callbacks.isWanted()) obstacle = notSent('settled_meanwhile', 'room');
    else if (body === null) obstacle = notSent('body_gone', 'room');
    // The last thing before the bytes leave: a lease that ends before the send could would let another worker in.
    else if (!this.#mayStillSend(room, timeoutMs)) obstacle = notSent('lease_not_trusted', 'channel');
    if (obstacle !== null || client === null || attempt === undefined || body === null || content === null) {
      this.#ended(sending, obstacle ?? notSent('body_gone', 'room'), false);
      return;
    }
    callbacks.onLeaving();
    const startedAt = clock.monotonic();
    const { worker, generation, number } = attempt;
    const { requestId, ...message } = content;
    const sequence = headSequence(room);
    const request: SendRequest = {
      reference: references.encodeToSend(room, sequence),
      ...message,
      attempt: number,
      worker,
      generation,
      timeoutMs,
      ...(requestId === null ? {} : { requestId }),
    };
    const prepared = this.preparations.take(room, sequence, body);
    void client.send(prepared === null ? request : { ...request, prepared }).then(async (result) => {
      if (result.kind !== 'refused' || result.preparedRefused !== true) {
        this.#ended(sending, result, true);
        return;
      }
      this.preparations.refused(room, sequence);
      // Nothing was sent: with the links it is still the same attempt, in its time, and under its lease.
      const leftMs = Math.floor(timeoutMs - (clock.monotonic() - startedAt));
      const again = leftMs >= LEAST_RESEND_MS && callbacks.isWanted() && this.#mayStillSend(room, leftMs);
      this.#ended(sending, again ? await client.send({ ...request, timeoutMs: leftMs }) : result, true);
    });
  }

  /** The lease of the life that claimed outlives the send. */
  #mayStillSend(room: Room, timeoutMs: number): boolean {
    const { tenure } = this.#to;
    return tenure.proof()?.worker === room.attempts.at(-1)?.worker && tenure.outlives(room.shard, timeoutMs);
  }

  /** @param reachedPlatform what came of it says something of the channel */
  #ended(sending: Sending, result: SendResult, reachedPlatform: boolean): void {
    const { room, permit, callbacks, startedAt, over } = sending;
    const { instruments, clock, channels } = this.#to;
    if (reachedPlatform) channels.report(room.key, result, room.id, room.attempts.at(-1)?.begunAt ?? clock.now());
    instruments.metrics.openSends.dec({ channel: channelName(room.key) });
    permit.release();
    this.#tell(sending, result, clock.monotonic() - startedAt);
    callbacks.onResult(result);
    over();
  }

  #timeoutMs(room: Room): number {
    return this.#to.channels.get(room.key)?.settings.sendTimeoutMs ?? 5_000;
  }

  #tell({ room, requestId }: Sending, result: SendResult, durationMs: number): void {
    const { instruments } = this.#to;
    instruments.metrics.attempts.inc({ result: result.kind, channel: channelName(room.key) });
    const sequence = headSequence(room);
    const { attempt } = room;
    instruments.telemetry.emit('attempt.finished', {
      room: room.key,
      sequence,
      attempt,
      result: result.kind,
      durationMs,
    });
    if (result.kind !== 'unknown' && !instruments.log.writes('attempt.finished')) return;
    const where = {
      tenant: room.key.tenant,
      channel: room.key.channel,
      room: instruments.hash(room.key.room),
      sequence,
      attempt,
      requestId: requestId ?? undefined,
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
function notSent(code: string, scope: 'room' | 'channel'): SendResult {
  return { kind: 'refused', nack: { permanent: false, scope, retryAfterMs: null, code } };
}
