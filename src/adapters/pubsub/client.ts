/** Google's client as Roomline uses it: how it connects, how much it holds, how it ends, and what it is asked first. */
import { Duration, PubSub, SubscriptionCloseBehaviors, type SubscriptionOptions } from '@google-cloud/pubsub';
import { statusOf, UnfitSubscriptionError } from './status.ts';
import type { StreamCall } from './stream-watch.ts';

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

/** A request that has no answer by then fails, and is made again with the next connection. */
const ONCE = { timeout: 5_000, retry: null };
/** Longer than any queue keeps a message. */
const MAX_EXTENSION = Duration.from({ hours: 31 * 24 });
/** Of which the client keeps the last second for giving back what is not done. */
const CLOSE_TIMEOUT = Duration.from({ seconds: 3 });

const STREAMING_PULL = '/google.pubsub.v1.Subscriber/StreamingPull';

interface Invocation {
  readonly call: StreamCall;
  readonly methodDefinition: { readonly path: string };
}

/** @param onStream told of each call that is made to stream messages */
export function connect(options: PubSubOptions, onStream: (call: StreamCall) => void): PubSub {
  const { projectId, endpoint } = options;
  // Channel options of gRPC pass through the client, though its types do not name them.
  const channel = {
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
    'grpc.callInvocationTransformer': (invocation: Invocation) => {
      if (invocation.methodDefinition.path === STREAMING_PULL) onStream(invocation.call);
      return invocation;
    },
  };
  if (endpoint === null) return new PubSub({ ...channel, projectId });
  return new PubSub({
    ...channel,
    projectId,
    apiEndpoint: endpoint,
    emulatorMode: true,
    // Without it the client asks a metadata server where it is.
    universeDomain: 'googleapis.com',
  });
}

export function subscriberOptions(options: PubSubOptions): SubscriptionOptions {
  return {
    flowControl: {
      maxMessages: options.maxOutstandingMessages,
      maxBytes: options.maxOutstandingBytes,
      // Otherwise the client keeps what came beyond the limit in a queue of its own, which later messages overtake when
      // a large message is answered. Either way it holds at most one response more than the limits say.
      allowExcessMessages: true,
    },
    streamingOptions: {
      maxStreams: 1,
      retryMinBackoff: Duration.from({ millis: 100 }),
      retryMaxBackoff: Duration.from({ seconds: 1 }),
    },
    batching: { maxMilliseconds: 10 },
    // After this time a message no longer counts as held, and others are let in, although intake has it still.
    maxExtensionTime: MAX_EXTENSION,
    closeOptions: { behavior: SubscriptionCloseBehaviors.WaitForProcessing, timeout: CLOSE_TIMEOUT },
  };
}

/**
 * Makes the subscription where it is missing and a topic is given, and makes sure that it can be consumed in order.
 * @throws UnfitSubscriptionError, or an error with a gRPC status
 */
export async function inspect(client: PubSub, options: PubSubOptions): Promise<void> {
  const properties = await readProperties(client, options).catch(async (error: unknown) => {
    if (statusOf(error) !== 'NOT_FOUND' || options.topic === null) throw error;
    await create(client, options.topic, options.subscription);
    return readProperties(client, options);
  });
  if (properties === null) return;
  if (properties.enableMessageOrdering !== true) {
    throw new UnfitSubscriptionError('ordering_disabled', 'create the subscription anew with message ordering enabled');
  }
  if (properties.enableExactlyOnceDelivery === true) {
    const meaning =
      'the client does not keep order with it; create the subscription anew without exactly-once delivery';
    throw new UnfitSubscriptionError('exactly_once_enabled', meaning);
  }
}

/** Whether the service answers at all. */
export async function answers(client: PubSub, options: PubSubOptions): Promise<boolean> {
  return readProperties(client, options).then(
    () => true,
    () => false,
  );
}

/** Null where the credentials allow to consume the subscription but not to look at it. */
async function readProperties(client: PubSub, options: PubSubOptions) {
  try {
    const [properties] = await client.subscription(options.subscription).getMetadata(ONCE);
    return properties;
  } catch (error) {
    if (statusOf(error) === 'PERMISSION_DENIED') return null;
    throw error;
  }
}

/** Others may be creating the same at this moment. */
async function create(client: PubSub, topic: string, subscription: string): Promise<void> {
  const ignoreExisting = (error: unknown): void => {
    if (statusOf(error) !== 'ALREADY_EXISTS') throw error;
  };
  await client.createTopic(topic, ONCE).catch(ignoreExisting);
  const settings = { enableMessageOrdering: true, gaxOpts: ONCE };
  await client.topic(topic).createSubscription(subscription, settings).catch(ignoreExisting);
}
