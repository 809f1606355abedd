/**
 * What becomes of one message. Each is given to intake in the turn of the event loop in which the client emits it, and
 * intake commits a room's messages in that order; so handlers of one key may overlap.
 *
 *   Q1  a message is acknowledged after its commit, or after its dead letter is stored
 *   Q2  what intake or the store cannot take now is not answered: it comes again, in order
 */
import type { Message } from '@google-cloud/pubsub';
import type { Instruments } from '../../engine/instruments.ts';
import { OpenItems } from '../../engine/open-items.ts';
import type { Clock, IntakeResult, NewMessage } from '../../engine/ports.ts';
import { RoomlineError } from '../../errors.ts';
import type { DeadLetterLane } from './dead-letters.ts';

export interface MessageHandlerDependencies {
  /** Reads and checks a payload. */
  readonly parse: (payload: Uint8Array, fallbackId: string, now: number) => NewMessage | RoomlineError;
  readonly accept: (message: NewMessage) => Promise<IntakeResult>;
  readonly clock: Clock;
  readonly instruments: Instruments;
  readonly letters: DeadLetterLane;
  /** Aborted when the service is asked to stop. */
  readonly signal: AbortSignal;
}

export class MessageHandler {
  readonly #to: MessageHandlerDependencies;
  /** Messages that intake will not take in this process any more. */
  readonly #held: Message[] = [];
  /** Messages in hand. */
  readonly #outstanding = new OpenItems<Message>();

  constructor(dependencies: MessageHandlerDependencies) {
    this.#to = dependencies;
    const { metrics } = dependencies.instruments;
    const tellOldest = (): void => metrics.intakeOldestSeconds.set(this.#oldestSeconds());
    metrics.beforeRender.add(tellOldest);
    dependencies.signal.addEventListener(
      'abort',
      () => {
        metrics.beforeRender.delete(tellOldest);
        this.#giveBack();
      },
      { once: true },
    );
  }

  handle(message: Message): void {
    const place = this.#outstanding.add(message);
    void this.#process(message).finally(() => this.#outstanding.remove(place));
  }

  /** Resolves when nothing is at intake or on its way to the dead letters. */
  idle(): Promise<void> {
    return this.#outstanding.none();
  }

  async #process(message: Message): Promise<void> {
    const read = this.#read(message);
    if (read instanceof RoomlineError) return this.#refuse(message, read);
    let result: IntakeResult;
    try {
      result = await this.#to.accept(read);
    } catch (error) {
      // Intake is closed or closing. While it is open, any other error is of this message alone.
      if (error instanceof RoomlineError || this.#to.signal.aborted) return this.#hold(message);
      const detail = 'the store refuses a value of this message';
      return this.#refuse(message, new RoomlineError('field_invalid', { field: 'body', rule: 'storable', detail }));
    }
    if (result.kind === 'accepted' || result.kind === 'parked') {
      this.#to.instruments.metrics.intakeLagSeconds.observe(this.#ageSeconds(message));
      message.ack();
    } else if (result.kind === 'order_conflict') {
      const rule = 'a number of the order names one message of its room';
      await this.#refuse(message, new RoomlineError('order_conflict', { field: 'order', rule }));
    } else {
      const rule = 'an id names one message of its room';
      await this.#refuse(message, new RoomlineError('message_id_conflict', { field: 'messageId', rule }));
    }
  }

  #read(message: Message): NewMessage | RoomlineError {
    const { orderingKey = '' } = message;
    let parsed: NewMessage | RoomlineError;
    try {
      parsed = this.#to.parse(message.data, `pubsub:${message.id}`, this.#to.clock.now());
    } catch (cause) {
      // The client would swallow it, and the message would never be answered.
      return new RoomlineError('internal', { field: 'body', rule: 'readable', cause });
    }
    if (parsed instanceof RoomlineError) return parsed;
    const rule = 'the ordering key is the room';
    if (orderingKey === '') return new RoomlineError('ordering_key_missing', { field: 'orderingKey', rule });
    if (orderingKey !== parsed.key.room) {
      return new RoomlineError('ordering_key_mismatch', { field: 'orderingKey', rule });
    }
    return parsed;
  }

  #oldestSeconds(): number {
    let oldest = 0;
    for (const message of this.#outstanding) oldest = Math.max(oldest, this.#ageSeconds(message));
    return oldest;
  }

  #ageSeconds(message: Message): number {
    return Math.max(0, (this.#to.clock.now() - message.publishTime.getTime()) / 1000);
  }

  /** Keeps a payload that can never be accepted, with its reason, and then lets the queue forget it. */
  async #refuse(message: Message, error: RoomlineError): Promise<void> {
    const { letters, clock, instruments } = this.#to;
    const { code, field, rule } = error;
    const stored = await letters.put({
      reason: code,
      detail: [field, rule, error.detail].filter((part) => part !== undefined).join(': '),
      payload: message.data,
      attributes: { ...message.attributes, orderingKey: message.orderingKey ?? '' },
      dedupeKey: `pubsub:${message.id}`,
      at: clock.now(),
    });
    if (!stored) return;
    instruments.metrics.intakeRefused.inc({ source: 'pubsub', code });
    instruments.metrics.deadLetters.inc({ reason: code, channel: '' });
    // The name of an unknown field is the publisher's own text.
    const known = code === 'field_unknown' ? undefined : field;
    instruments.log.event('intake.refused', { source: 'pubsub', code, field: known, rule });
    message.ack();
    instruments.telemetry.emit('intake.refused', { source: 'pubsub', code });
  }

  /** To give it back at once would only bring it at once again. Unanswered, it keeps its place, and its key's later ones theirs. */
  #hold(message: Message): void {
    if (this.#to.signal.aborted) message.nack();
    else this.#held.push(message);
  }

  #giveBack(): void {
    for (const message of this.#held.splice(0)) message.nack();
  }
}
