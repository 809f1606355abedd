/**
 * Intake from Pub/Sub: one streaming consumer that is there again after whatever ends it.
 *
 * A session is one client, one look at the subscription, one stream of messages until it ends for good. The client
 * itself carries a session over lost streams and restarts of the server; a deleted subscription, refused credentials or
 * an unfit subscription end it, and the next one begins after a pause. It begins only when intake has let go of the
 * last one's messages: so there are never more in memory than flow control allows one session.
 */
import type { Message, PubSub } from '@google-cloud/pubsub';
import type { Instruments } from '../../engine/instruments.ts';
import type { Clock, DeadLetterStore, IntakeResult, NewMessage } from '../../engine/ports.ts';
import { type DelayMs, defineService, runLoop, type Service } from '../../engine/service.ts';
import type { RoomlineError } from '../../errors.ts';
import { answers, connect, inspect, type PubSubOptions, subscriberOptions } from './client.ts';
import { DeadLetterLane } from './dead-letters.ts';
import { MessageHandler } from './handler.ts';
import { Readiness } from './readiness.ts';
import { StreamEndedError } from './status.ts';
import { type StreamCall, StreamWatch } from './stream-watch.ts';

export type { PubSubOptions } from './client.ts';

export interface PubSubDependencies {
  /** Reads and checks a payload. */
  readonly parse: (payload: Uint8Array, fallbackId: string, now: number) => NewMessage | RoomlineError;
  /** Calls for one room commit in the order of the calls. */
  readonly accept: (message: NewMessage) => Promise<IntakeResult>;
  readonly deadLetters: DeadLetterStore;
  /** False while nothing may be stored: until it is decided which past of the database is the true one. */
  readonly mayStore: () => boolean;
  readonly clock: Clock;
  readonly instruments: Instruments;
}

export interface PubSubIntake {
  /** Its start does not wait for Pub/Sub; its stop gives back what is not committed within 3 s. */
  readonly service: Service;
  /** Null while messages can flow; else why they cannot, as one line with a code in front. */
  readonly trouble: () => string | null;
}

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;

export function createPubSubIntake(options: PubSubOptions, to: PubSubDependencies): PubSubIntake {
  const readiness = new Readiness(to.clock, to.instruments);
  const service = defineService('pubsub', ({ signal, onStop }) => {
    readiness.connecting();
    const letters = new DeadLetterLane({ ...to, store: to.deadLetters });
    const handler = new MessageHandler({ ...to, letters, signal });
    let pauseMs = FIRST_PAUSE_MS;

    async function session(): Promise<DelayMs> {
      const watch = new StreamWatch({
        clock: to.clock,
        answers: () => answers(client, options),
        onOpen: () => {
          pauseMs = FIRST_PAUSE_MS;
          readiness.flows();
        },
        onLost: ({ code }) => readiness.lost(new StreamEndedError(code)),
      });
      const client = connect(options, (call: StreamCall) => watch.called(call));
      try {
        await unlessAborted(inspect(client, options), signal);
        if (!signal.aborted) await consume(client, watch);
      } catch (error) {
        readiness.lost(error);
      }
      watch.close();
      // A client that could not be set up, for want of credentials, cannot be closed either.
      await client.close().catch(() => undefined);
      await unlessAborted(handler.idle(), signal);
      const delayMs = pauseMs;
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      return delayMs;
    }

    /** Resolves when the stream has ended for good, or has been closed because the service stops. */
    async function consume(client: PubSub, watch: StreamWatch): Promise<void> {
      const subscription = client.subscription(options.subscription, subscriberOptions(options));
      const closed = new Promise<void>((resolve) => subscription.once('close', resolve));
      subscription.on('error', (error) => {
        readiness.lost(error);
        watch.doubt();
      });
      const close = (): void => {
        watch.close();
        void subscription.close();
      };
      signal.addEventListener('abort', close, { once: true });
      // Opens the stream.
      subscription.on('message', (message: Message) => handler.handle(message));
      await closed;
      signal.removeEventListener('abort', close);
    }

    const loop = runLoop(session, {
      timers: { schedule: (delayMs, callback) => to.clock.after(delayMs, callback) },
      onFailure: (error) => readiness.lost(error),
    });
    onStop(async () => {
      await loop.stop();
      letters.close();
      readiness.stopped();
    });
  });
  return { service, trouble: () => readiness.trouble };
}

/** Resolves with the promise, or as soon as the signal aborts; then the promise's outcome concerns nobody. */
function unlessAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => resolve();
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', end));
  });
}
