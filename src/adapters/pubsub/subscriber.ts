/**
 * Intake from Pub/Sub. The client hands out a key's messages in order but does not wait for their handlers: the order is
 * kept because each message is given to intake in the turn of the event loop in which it came, and intake commits in
 * that order. A message is acknowledged after its commit; one that can never be accepted goes to the dead letters first.
 */
import { Duration, type Message, PubSub, type Subscription, SubscriptionCloseBehaviors } from '@google-cloud/pubsub';
import type { Instruments } from '../../engine/instruments.ts';
import type { Clock, DeadLetterStore, IntakeResult, NewMessage } from '../../engine/ports.ts';
import { defineService, type Service } from '../../engine/service.ts';
import { RoomlineError } from '../../errors.ts';
import { errorFields } from '../../telemetry.ts';

export interface PubSubOptions {
  readonly projectId: string;
  readonly subscription: string;
  /** Where the subscription is made if it is missing; for development. */
  readonly topic: string | null;
  /** host:port of an emulator or of the embedded server; null for the service. */
  readonly endpoint: string | null;
  readonly maxOutstandingMessages: number;
  readonly maxOutstandingBytes: number;
}

export interface PubSubDependencies {
  /** Reads and checks a payload. */
  readonly parse: (payload: Uint8Array, fallbackId: string, now: number) => NewMessage | RoomlineError;
  readonly accept: (message: NewMessage) => Promise<IntakeResult>;
  readonly deadLetters: DeadLetterStore;
  readonly clock: Clock;
  readonly instruments: Instruments;
}

export interface PubSubIntake {
  readonly service: Service;
  /** Null while messages flow; else why they do not. */
  readonly trouble: () => string | null;
}

const REOPEN_MS = 1_000;
const DEAD_LETTER_RETRY_MS = 500;
const CLOSE_TIMEOUT_S = 5;

export function createPubSubIntake(options: PubSubOptions, to: PubSubDependencies): PubSubIntake {
  let trouble: string | null = 'not started';
  const service = defineService('pubsub', async (scope) => {
    const client = connect(options);
    scope.onStop(() => client.close());
    if (options.topic !== null) await createSubscription(client, options.topic, options.subscription);
    let subscription = open();
    scope.onStop(async () => {
      subscription.removeAllListeners('close');
      await subscription.close();
      trouble = 'stopped';
    });

    function open(): Subscription {
      const opened = client.subscription(options.subscription, subscriberOptions(options));
      opened.on('message', (message: Message) => handle(message, to));
      opened.on('error', (error) => {
        trouble = 'the subscription answered with an error';
        to.instruments.log.event('dependency.lost', { dependency: 'pubsub', ...errorFields(error) });
        to.instruments.telemetry.emit('dependency.lost', { dependency: 'pubsub' });
      });
      // An error such as a deleted subscription ends the stream for good: it is opened again until it holds.
      opened.on('close', () => {
        if (scope.signal.aborted) return;
        to.clock.after(REOPEN_MS, () => {
          if (scope.signal.aborted) return;
          subscription = open();
        });
      });
      trouble = null;
      return opened;
    }
  });
  return { service, trouble: () => trouble };
}

function connect(options: PubSubOptions): PubSub {
  const { projectId, endpoint } = options;
  if (endpoint === null) return new PubSub({ projectId });
  // Channel options of gRPC pass through the client, though its types do not name them.
  const reconnect = { 'grpc.initial_reconnect_backoff_ms': 50, 'grpc.max_reconnect_backoff_ms': 1_000 };
  return new PubSub({
    ...reconnect,
    projectId,
    apiEndpoint: endpoint,
    emulatorMode: true,
    // Without it the client asks a metadata server where it is.
    universeDomain: 'googleapis.com',
  });
}

function subscriberOptions(options: PubSubOptions) {
  return {
    flowControl: {
      maxMessages: options.maxOutstandingMessages,
      maxBytes: options.maxOutstandingBytes,
      allowExcessMessages: false,
    },
    streamingOptions: {
      maxStreams: 1,
      retryMinBackoff: Duration.from({ millis: 100 }),
      retryMaxBackoff: Duration.from({ seconds: 1 }),
    },
    batching: { maxMilliseconds: 10 },
    closeOptions: {
      behavior: SubscriptionCloseBehaviors.WaitForProcessing,
      timeout: Duration.from({ seconds: CLOSE_TIMEOUT_S }),
    },
  };
}

async function createSubscription(client: PubSub, topic: string, name: string): Promise<void> {
  const ignoreExisting = (error: unknown): void => {
    if ((error as { code?: unknown }).code !== ALREADY_EXISTS) throw error;
  };
  await client.createTopic(topic).catch(ignoreExisting);
  await client.topic(topic).createSubscription(name, { enableMessageOrdering: true }).catch(ignoreExisting);
}

/** gRPC status. */
const ALREADY_EXISTS = 6;

function handle(message: Message, to: PubSubDependencies): void {
  const parsed = read(message, to);
  if (parsed instanceof RoomlineError) {
    void refuse(message, parsed, to);
    return;
  }
  to.accept(parsed).then(
    (result) => {
      if (result.kind === 'accepted') message.ack();
      else void refuse(message, new RoomlineError('message_id_conflict', { field: 'messageId' }), to);
    },
    (error: unknown) => {
      // Intake is closing: the queue keeps the message and hands it out again. Any other error is of this message alone.
      if (error instanceof RoomlineError) message.nack();
      else void refuse(message, storeRefused(error), to);
    },
  );
}

function read(message: Message, to: PubSubDependencies): NewMessage | RoomlineError {
  const parsed = to.parse(message.data, `pubsub:${message.id}`, to.clock.now());
  if (parsed instanceof RoomlineError) return parsed;
  if (message.orderingKey === undefined || message.orderingKey === '') return new RoomlineError('ordering_key_missing');
  if (message.orderingKey !== parsed.key.room) {
    return new RoomlineError('ordering_key_mismatch', { field: 'room', rule: 'the ordering key is the room' });
  }
  return parsed;
}

function storeRefused(error: unknown): RoomlineError {
  return new RoomlineError('field_invalid', { detail: 'the store refuses a value of this message', cause: error });
}

/** Keeps a payload that can never be accepted, with its reason, and then lets the queue forget it. */
async function refuse(message: Message, error: RoomlineError, to: PubSubDependencies): Promise<void> {
  const { instruments, deadLetters, clock } = to;
  const letter = {
    reason: error.code,
    detail: [error.field, error.rule, error.detail].filter((part) => part !== undefined).join(': '),
    payload: message.data,
    attributes: { ...message.attributes, orderingKey: message.orderingKey ?? '' },
    dedupeKey: `pubsub:${message.id}`,
    at: clock.now(),
  };
  for (;;) {
    try {
      await deadLetters.putIntake([letter]);
      break;
    } catch {
      await new Promise<void>((resolve) => clock.after(DEAD_LETTER_RETRY_MS, resolve));
    }
  }
  instruments.metrics.intakeRefused.inc({ source: 'pubsub', code: error.code });
  instruments.metrics.deadLetters.inc({ reason: error.code, channel: '' });
  instruments.telemetry.emit('intake.refused', { source: 'pubsub', code: error.code });
  instruments.log.event('intake.refused', { source: 'pubsub', code: error.code, field: error.field, rule: error.rule });
  message.ack();
}
