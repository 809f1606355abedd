import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Broker } from './broker.ts';
import { Consumer, type Sink } from './consumer.ts';
import { invalid, PubSubError, unavailable } from './errors.ts';
import type { Faults } from './faults.ts';
import type { Subscription } from './subscription.ts';
import type { ReceivedMessage, StreamingPullRequest, StreamingPullResponse } from './wire.ts';

type Call = ServerDuplexStream<StreamingPullRequest, StreamingPullResponse>;

/** One client's StreamingPull: its first request opens it, later ones ack, change deadlines or ask for a sign of life. */
export class StreamingPull implements Sink {
  readonly #call: Call;
  readonly #broker: Broker;
  readonly #faults: Faults;
  #subscription: Subscription | null = null;
  #consumer: Consumer | null = null;
  #keepAlives = false;
  #ended = false;

  constructor(call: Call, broker: Broker, faults: Faults) {
    this.#call = call;
    this.#broker = broker;
    this.#faults = faults;
    call.on('data', (request: StreamingPullRequest) => this.#guarded(() => this.#receive(request)));
    call.on('drain', () => {
      this.#consumer?.resume();
      this.#subscription?.wake();
    });
    call.on('cancelled', () => this.#detach());
    call.on('end', () => {
      this.#detach();
      if (!this.#ended) call.end();
      this.#ended = true;
    });
    call.on('error', () => this.#detach());
  }

  write(receivedMessages: ReceivedMessage[]): boolean {
    if (this.#faults.strikes('streamLossProbability')) {
      this.end(unavailable('Injected fault: stream lost.'));
      return false;
    }
    return this.#call.write({ receivedMessages });
  }

  end(error: PubSubError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#detach();
    this.#call.emit('error', error);
  }

  #guarded(act: () => void): void {
    if (this.#ended) return;
    try {
      act();
    } catch (error) {
      if (!(error instanceof PubSubError)) throw error;
      this.end(error);
    }
  }

  #receive(request: StreamingPullRequest): void {
    if (!this.#subscription || !this.#consumer) {
      this.#open(request);
      return;
    }
    if (request.subscription || request.maxOutstandingMessages || request.maxOutstandingBytes) {
      throw invalid('The subscription and the flow control limits can only be set on the first request.');
    }
    if (request.streamAckDeadlineSeconds) {
      this.#broker.checkAckDeadline(request.streamAckDeadlineSeconds);
      this.#consumer.ackDeadlineMs = request.streamAckDeadlineSeconds * 1_000;
    }
    this.#answer(this.#subscription, request);
    if (this.#keepAlives) this.#call.write({});
  }

  #open(request: StreamingPullRequest): void {
    const subscription = this.#broker.subscription(request.subscription);
    if (this.#faults.settings.refusePulls) throw unavailable('Injected fault: pulls refused.');
    this.#broker.checkAckDeadline(request.streamAckDeadlineSeconds);
    this.#keepAlives = request.protocolVersion >= 1;
    this.#subscription = subscription;
    this.#consumer = new Consumer(this, {
      maxMessages: request.maxOutstandingMessages,
      maxBytes: request.maxOutstandingBytes,
      ackDeadlineMs: request.streamAckDeadlineSeconds * 1_000,
    });
    this.#answer(subscription, request);
    this.#call.write({
      subscriptionProperties: {
        exactlyOnceDeliveryEnabled: false,
        messageOrderingEnabled: subscription.resource.enableMessageOrdering,
      },
    });
    subscription.attach(this.#consumer);
  }

  #answer(subscription: Subscription, request: StreamingPullRequest): void {
    const { ackIds, modifyDeadlineAckIds, modifyDeadlineSeconds } = request;
    if (modifyDeadlineAckIds.length !== modifyDeadlineSeconds.length) {
      throw invalid('modify_deadline_seconds and modify_deadline_ack_ids differ in length.');
    }
    this.#broker.acknowledge(subscription, ackIds);
    modifyDeadlineAckIds.forEach((ackId, at) => {
      this.#broker.modifyAckDeadline(subscription, [ackId], modifyDeadlineSeconds[at] ?? 0);
    });
  }

  #detach(): void {
    if (this.#subscription && this.#consumer) this.#subscription.detach(this.#consumer);
    this.#consumer = null;
  }
}
