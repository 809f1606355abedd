import type { handleUnaryCall, ServerDuplexStream, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Broker } from './broker.ts';
import { invalid, PubSubError } from './errors.ts';
import type { Faults } from './faults.ts';
import { StreamingPull } from './streaming-pull.ts';
import { type PullRequest, unaryPull } from './unary-pull.ts';
import type {
  PubsubMessage,
  StreamingPullRequest,
  StreamingPullResponse,
  SubscriptionResource,
  TopicResource,
} from './wire.ts';

/**
 * google.pubsub.v1.Publisher and Subscriber over a broker. Methods that are not here answer UNIMPLEMENTED.
 * @param failed hears of errors that are this server's own fault; their callers get UNKNOWN.
 */
export function createServices(
  broker: Broker,
  faults: Faults,
  failed: (error: unknown) => void,
): { publisher: UntypedServiceImplementation; subscriber: UntypedServiceImplementation } {
  /** Answers a unary call with what `act` returns, or with its error's status. */
  const unary =
    <Request, Response>(
      act: (request: Request, cancelled: (listener: () => void) => void) => Response | Promise<Response>,
    ): handleUnaryCall<Request, Response> =>
    (call, callback) => {
      new Promise<Response>((resolve) => resolve(act(call.request, (listener) => call.on('cancelled', listener)))).then(
        (response) => callback(null, response),
        (error) => {
          if (!(error instanceof PubSubError)) failed(error);
          callback(error);
        },
      );
    };

  return {
    publisher: {
      createTopic: unary((topic: TopicResource) => broker.createTopic(topic)),
      getTopic: unary(({ topic }: { topic: string }) => broker.topic(topic)),
      listTopics: unary(({ project }: { project: string }) => ({ topics: broker.topics(project) })),
      deleteTopic: unary(({ topic }: { topic: string }) => {
        broker.deleteTopic(topic);
        return {};
      }),
      publish: unary(async ({ topic, messages }: { topic: string; messages: PubsubMessage[] }) => ({
        messageIds: await broker.publish(topic, messages),
      })),
    },
    subscriber: {
      createSubscription: unary((requested: SubscriptionResource) => broker.createSubscription(requested)),
      getSubscription: unary(({ subscription }: Named) => broker.subscription(subscription).resource),
      deleteSubscription: unary(({ subscription }: Named) => {
        broker.deleteSubscription(subscription);
        return {};
      }),
      acknowledge: unary(({ subscription, ackIds }: Named & { ackIds: string[] }) => {
        const known = broker.subscription(subscription);
        if (ackIds.length === 0) throw invalid('No ack ids specified.');
        broker.acknowledge(known, ackIds);
        return {};
      }),
      modifyAckDeadline: unary(
        ({ subscription, ackIds, ackDeadlineSeconds }: Named & { ackIds: string[]; ackDeadlineSeconds: number }) => {
          broker.modifyAckDeadline(broker.subscription(subscription), ackIds, ackDeadlineSeconds);
          return {};
        },
      ),
      pull: unary(async (request: PullRequest, cancelled) => ({
        receivedMessages: await unaryPull(broker, faults, request, cancelled),
      })),
      streamingPull: (call: ServerDuplexStream<StreamingPullRequest, StreamingPullResponse>) => {
        new StreamingPull(call, broker, faults);
      },
    },
  };
}

interface Named {
  subscription: string;
}
