import { drawDelayMs } from './delay.ts';
import { type Message, newRecipient, type Recipient, type StatusError } from './message.ts';
import { Draws, Purpose } from './random.ts';
import { raise } from './stats.ts';
import type { World } from './world.ts';

/** What a phone tells about a message. */
export interface PhoneListener {
  shown(message: Message): void;
  failed(message: Message, error: StatusError): void;
}

/**
 * The users' phones. Every message travels for a time of its own, and a phone shows messages as they arrive: two that
 * are sent close together can swap.
 */
export class Phones {
  readonly #world: World;
  readonly #listener: PhoneListener;
  readonly #recipients = new Map<string, Map<string, Recipient>>();
  /** Phones with messages that wait for them to come online. */
  readonly #offline = new Set<Recipient>();

  constructor(world: World, listener: PhoneListener) {
    this.#world = world;
    this.#listener = listener;
  }

  recipient(channel: string, to: string): Recipient {
    let phones = this.#recipients.get(channel);
    if (phones === undefined) {
      phones = new Map();
      this.#recipients.set(channel, phones);
    }
    let recipient = phones.get(to);
    if (recipient === undefined) {
      recipient = newRecipient(channel, to);
      phones.set(to, recipient);
    }
    return recipient;
  }

  /** Sends an accepted message on its way; with `atOnce` it arrives in no time. */
  send(message: Message, atOnce: boolean): void {
    const { draws, recipient } = message;
    const { failure } = message.knobs.status;
    recipient.inFlight.push(message);
    if (draws.chance(Purpose.failure, failure.probability)) {
      raise(this.#world.stats.faults, 'async_failure');
      const { code, scope, permanent } = failure;
      this.#world.scheduler.after(drawDelayMs(failure.delayMs, draws, Purpose.failureDelay), () =>
        this.#fail(message, { code, scope, permanent }),
      );
      return;
    }
    const { delayMs, media } = message.knobs.phone;
    const extraMs = message.slow ? drawDelayMs(media.extraDelayMs, draws, Purpose.mediaDelay) : 0;
    const travelMs = atOnce ? 0 : drawDelayMs(delayMs, draws, Purpose.phoneDelay) + extraMs;
    this.#world.scheduler.after(travelMs, () => this.#arrive(message));
  }

  /** Looks again which phones are online; to be called when settings have changed. */
  recheck(): void {
    for (const recipient of this.#offline) this.#wake(recipient);
  }

  #arrive(message: Message): void {
    const { recipient } = message;
    const { waitMs } = this.#presence(recipient);
    if (waitMs === 0 && recipient.waiting.length === 0) {
      this.#show(message);
      return;
    }
    raise(this.#world.stats.faults, 'phone_offline');
    recipient.waiting.push(message);
    this.#offline.add(recipient);
    this.#world.scheduler.after(message.knobs.phone.offlineTtlMs, () => this.#expire(message));
    if (waitMs !== undefined && recipient.waiting.length === 1) {
      this.#world.scheduler.after(waitMs, () => this.#wake(recipient));
    }
  }

  /** How long until the phone is online: 0 is now, undefined is not known. */
  #presence(recipient: Recipient): { waitMs: number | undefined } {
    const { online, flapping } = this.#world.resolver.recipient(recipient.channel, recipient.to).phone;
    if (!online) return { waitMs: undefined };
    if (flapping === null) return { waitMs: 0 };
    const period = flapping.onlineMs + flapping.offlineMs;
    const phase = Draws.of(this.#world.seed, recipient.to).uniform(Purpose.flapPhase) * period;
    const into = (this.#world.now() + phase) % period;
    return { waitMs: into < flapping.onlineMs ? 0 : period - into };
  }

  #wake(recipient: Recipient): void {
    if (recipient.waiting.length === 0) return;
    const { waitMs } = this.#presence(recipient);
    if (waitMs !== 0) {
      // Timers may fire a little early; a phone whose schedule is still running is looked at again when it ends.
      if (waitMs !== undefined) this.#world.scheduler.after(Math.ceil(waitMs), () => this.#wake(recipient));
      return;
    }
    this.#offline.delete(recipient);
    for (const message of recipient.waiting.splice(0)) this.#show(message);
  }

  #expire(message: Message): void {
    const { waiting } = message.recipient;
    const at = waiting.indexOf(message);
    if (at < 0) return;
    waiting.splice(at, 1);
    if (waiting.length === 0) this.#offline.delete(message.recipient);
    raise(this.#world.stats.faults, 'phone_expired');
    if (message.knobs.phone.onExpiry === 'fail') {
      this.#fail(message, { code: 'expired', scope: 'message', permanent: true });
      return;
    }
    this.#world.stats.dropped++;
    this.#world.truth.append({ t: 'dropped', m: message.no, at: this.#world.now(), reason: 'offline' });
    this.#gone(message);
  }

  #fail(message: Message, error: StatusError): void {
    this.#gone(message);
    message.error = error;
    this.#listener.failed(message, error);
  }

  #show(message: Message): void {
    const { recipient } = message;
    recipient.order++;
    this.#world.stats.shown++;
    const counters = this.#world.stats.channels[message.channel];
    if (counters) counters.shown++;
    this.#world.truth.append({ t: 'shown', m: message.no, at: this.#world.now(), order: recipient.order });
    this.#gone(message);
    this.#listener.shown(message);
  }

  #gone(message: Message): void {
    const { recipient } = message;
    message.gone = true;
    while (recipient.inFlight[0]?.gone) recipient.covered = recipient.inFlight.shift();
  }
}
