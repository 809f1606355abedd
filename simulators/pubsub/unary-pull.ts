import type { Broker } from './broker.ts';
import { Consumer, type Sink } from './consumer.ts';
import { invalid, type PubSubError, unavailable } from './errors.ts';
import type { Faults } from './faults.ts';
import type { ReceivedMessage } from './wire.ts';

/** How long a Pull waits for its first message before it answers without one. */
const PATIENCE_MS = 30_000;
const MAX_MESSAGES = 1_000;

export interface PullRequest {
  subscription: string;
  maxMessages: number;
  returnImmediately: boolean;
}

/**
 * Answers one Pull with what is available, waiting for a first message if there is none.
 * @param cancelled calls its argument when the client has gone.
 */
export async function unaryPull(
  broker: Broker,
  faults: Faults,
  { subscription: name, maxMessages, returnImmediately }: PullRequest,
  cancelled: (listener: () => void) => void,
): Promise<ReceivedMessage[]> {
  const subscription = broker.subscription(name);
  if (faults.settings.refusePulls) throw unavailable('Injected fault: pulls refused.');
  if (maxMessages <= 0) throw invalid('max_messages must be positive.');

  const { promise, resolve, reject } = Promise.withResolvers<ReceivedMessage[]>();
  const sink: Sink = {
    write(messages) {
      subscription.detach(consumer);
      resolve(messages);
      return false;
    },
    end(error: PubSubError) {
      subscription.detach(consumer);
      reject(error);
    },
  };
  const consumer = new Consumer(sink, {
    maxMessages: Math.min(maxMessages, MAX_MESSAGES),
    maxBytes: 0,
    ackDeadlineMs: subscription.resource.ackDeadlineSeconds * 1_000,
  });
  const giveUp = (): void => {
    subscription.detach(consumer);
    resolve([]);
  };
  const patience = setTimeout(giveUp, returnImmediately ? 0 : PATIENCE_MS);
  cancelled(giveUp);
  subscription.attach(consumer);
  return promise.finally(() => clearTimeout(patience));
}
