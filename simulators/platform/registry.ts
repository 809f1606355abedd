import type { Message, Recipient } from './message.ts';
import type { SendRequest } from './profile.ts';
import { Draws } from './random.ts';
import type { MessageKnobs } from './settings.ts';
import type { World } from './world.ts';

type IdStyle = MessageKnobs['send']['idStyle'];

const hex = (value: number, digits: number): string =>
  Math.floor(value * 16 ** digits)
    .toString(16)
    .padStart(digits, '0');

/** Accepted messages by reference: for idempotency and lookup. */
export class Registry {
  readonly #world: World;
  /** Per channel, the first copy of each reference, oldest first. */
  readonly #messages = new Map<string, Map<string, Message>>();
  /** Part of every id, so that a restarted platform does not give the same ones again. */
  readonly #boot: number;
  #last = 0;

  constructor(world: World) {
    this.#world = world;
    this.#boot = Math.round(world.clock.wallMs());
  }

  find(channel: string, reference: string): Message | undefined {
    return this.#messages.get(channel)?.get(reference);
  }

  /** The message that a repeated reference means, as far as the channel remembers references. */
  duplicateOf(channel: string, reference: string): Message | undefined {
    const { enabled, ttlMs } = this.#world.resolver.channel(channel).idempotency;
    if (!enabled) return undefined;
    const known = this.find(channel, reference);
    return known && this.#world.now() - known.acceptedMono <= ttlMs ? known : undefined;
  }

  add(
    channel: string,
    recipient: Recipient,
    { reference, callbackUrl, sender }: SendRequest,
    knobs: MessageKnobs,
    slow: boolean,
  ): Message {
    const no = ++this.#last;
    const first = this.find(channel, reference);
    if (first) first.copies++;
    const draws = Draws.of(this.#world.seed, reference, first?.copies);
    const acceptedAt = Math.max(Math.round(this.#world.clock.wallMs()), recipient.lastAcceptedAt + 1);
    recipient.lastAcceptedAt = acceptedAt;
    const message: Message = {
      no,
      id: this.#world.profile.id?.({ no, boot: this.#boot, draws }) ?? this.#id(knobs.send.idStyle, no, draws),
      reference,
      callbackUrl,
      sender,
      channel,
      recipient,
      acceptedAt,
      acceptedMono: this.#world.now(),
      knobs,
      draws,
      slow,
      status: 'accepted',
      error: undefined,
      copies: 0,
      gone: false,
      unanswered: [],
      heldBack: undefined,
      early: undefined,
      onEarlyTold: undefined,
    };
    this.#remember(message);
    return message;
  }

  #remember(message: Message): void {
    const { channel, reference } = message;
    let messages = this.#messages.get(channel);
    if (messages === undefined) {
      messages = new Map();
      this.#messages.set(channel, messages);
    }
    const { idempotency, lookup } = this.#world.resolver.channel(channel);
    const oldest = message.acceptedMono - Math.max(lookup.retentionMs, idempotency.enabled ? idempotency.ttlMs : 0);
    for (const [known, { acceptedMono }] of messages) {
      if (acceptedMono >= oldest) break;
      messages.delete(known);
    }
    // A second copy does not hide the first, unless idempotency has just forgotten that one.
    if (!messages.has(reference)) messages.set(reference, message);
    else if (idempotency.enabled) {
      messages.delete(reference);
      messages.set(reference, message);
    }
  }

  #id(style: IdStyle, no: number, draws: Draws): string {
    const short = `gw-${this.#boot.toString(36)}-${no.toString(36)}`;
    switch (style) {
      case 'short':
        return short;
      case 'uuid': {
        const part = (lane: number, digits: number) => hex(draws.uniform(no, lane), digits);
        return `${part(0, 8)}-${part(1, 4)}-4${part(2, 3)}-a${part(3, 3)}-${part(4, 6)}${part(5, 6)}`;
      }
      case 'integer':
        return `${this.#boot}${String(no).padStart(6, '0')}`;
      case 'longest':
        return short.padEnd(128, 'x');
    }
  }
}
