import { alreadyExists, invalid, notFound, unavailable, unimplemented } from './errors.ts';
import type { Faults } from './faults.ts';
import { Journal } from './journal.ts';
import { checkPublish, type StoredMessage, storedMessage } from './message.ts';
import { DELETED_TOPIC, type JournalRecord, messageRecord, type Restored, restore } from './records.ts';
import { Subscription, type SubscriptionContext, type SubscriptionStats } from './subscription.ts';
import type { PubsubMessage, SubscriptionResource, TopicResource } from './wire.ts';

export interface BrokerOptions extends Omit<SubscriptionContext, 'deadLetter'> {
  faults: Faults;
  /** Journal file; nothing is kept without one. */
  file?: string;
  fsync: boolean;
  minAckDeadlineSeconds: number;
  /** The journal is rewritten when it is at least this big and twice as big as after its last rewrite. */
  rewriteAtBytes: number;
}

const NAME = /^projects\/[^/]+\/(topics|subscriptions)\/(?!goog)[A-Za-z][\w\-.~+%]{2,254}$/;
const DEFAULT_ACK_DEADLINE_SECONDS = 10;
const DEFAULT_DELIVERY_ATTEMPTS = 5;
const MAX_ACK_DEADLINE_SECONDS = 600;

/** Topics, subscriptions and what is published between them; everything the journal remembers. */
export class Broker {
  readonly #options: BrokerOptions;
  readonly #journal: Journal | null;
  readonly #topics = new Map<string, TopicResource>();
  readonly #subscriptions = new Map<string, Subscription>();
  #nextSequence: number;
  #sizeAfterRewrite = 0;

  private constructor(options: BrokerOptions, restored: Restored | null) {
    this.#options = options;
    this.#nextSequence = restored?.nextSequence ?? 1;
    for (const [name, topic] of restored?.topics ?? []) this.#topics.set(name, topic);
    for (const { resource, unacked } of restored?.subscriptions.values() ?? []) {
      const subscription = this.#addSubscription(resource);
      for (const message of unacked.values()) subscription.publish(message);
    }
    this.#journal = options.file === undefined ? null : Journal.open(options.file, options.fsync);
    this.#rewrite();
  }

  /** Reads the journal, if there is one, and shortens it to what is still needed. */
  static async open(options: BrokerOptions): Promise<Broker> {
    return new Broker(options, options.file === undefined ? null : await restore(Journal.read(options.file)));
  }

  createTopic({ name, labels }: TopicResource): TopicResource {
    checkName(name, 'topics');
    if (this.#topics.has(name)) throw alreadyExists(`Topic already exists: ${name}`);
    const topic = { name, labels };
    this.#record({ topic });
    this.#topics.set(name, topic);
    return topic;
  }

  topic(name: string): TopicResource {
    checkName(name, 'topics');
    const topic = this.#topics.get(name);
    if (!topic) throw notFound(`Topic not found: ${name}`);
    return topic;
  }

  topics(project: string): TopicResource[] {
    return [...this.#topics.values()].filter(({ name }) => name.startsWith(`${project}/`));
  }

  deleteTopic(name: string): void {
    this.topic(name);
    this.#record({ deletedTopic: name });
    this.#topics.delete(name);
    for (const subscription of this.#subscriptions.values()) {
      if (subscription.resource.topic === name) subscription.resource.topic = DELETED_TOPIC;
    }
  }

  createSubscription(requested: SubscriptionResource): SubscriptionResource {
    checkName(requested.name, 'subscriptions');
    this.topic(requested.topic);
    refuseUnsupported(requested);
    if (this.#subscriptions.has(requested.name)) throw alreadyExists(`Subscription already exists: ${requested.name}`);
    const ackDeadlineSeconds = requested.ackDeadlineSeconds || DEFAULT_ACK_DEADLINE_SECONDS;
    this.checkAckDeadline(ackDeadlineSeconds);
    const resource = { ...requested, ackDeadlineSeconds };
    if (resource.deadLetterPolicy) {
      const maxDeliveryAttempts = resource.deadLetterPolicy.maxDeliveryAttempts || DEFAULT_DELIVERY_ATTEMPTS;
      resource.deadLetterPolicy = { ...resource.deadLetterPolicy, maxDeliveryAttempts };
    }
    this.#record({ subscription: resource });
    this.#addSubscription(resource);
    return resource;
  }

  subscription(name: string): Subscription {
    checkName(name, 'subscriptions');
    const subscription = this.#subscriptions.get(name);
    if (!subscription) throw notFound(`Subscription does not exist: ${name}`);
    return subscription;
  }

  subscriptions(): Subscription[] {
    return [...this.#subscriptions.values()];
  }

  deleteSubscription(name: string): void {
    const subscription = this.subscription(name);
    this.#record({ deletedSubscription: name });
    this.#subscriptions.delete(name);
    subscription.endConsumers(notFound(`Subscription does not exist: ${name}`));
  }

  /** @throws PubSubError INVALID_ARGUMENT for a stream's or subscription's deadline out of bounds. */
  checkAckDeadline(seconds: number): void {
    const { minAckDeadlineSeconds: min } = this.#options;
    if (seconds >= min && seconds <= MAX_ACK_DEADLINE_SECONDS) return;
    throw invalid(`The ack deadline is ${seconds} s; it must be ${min} to ${MAX_ACK_DEADLINE_SECONDS} s.`);
  }

  /**
   * Stores messages and hands them to the topic's subscriptions.
   * @returns their ids, once they are in the journal. @throws PubSubError UNAVAILABLE when that failed or by an injected fault.
   */
  async publish(topicName: string, messages: readonly PubsubMessage[]): Promise<string[]> {
    this.topic(topicName);
    checkPublish(messages);
    const { faults } = this.#options;
    if (faults.strikes('publishRefusalProbability')) throw unavailable('Injected fault: publish refused.');
    const stored = await this.#store(topicName, messages);
    if (faults.strikes('publishAnswerLossProbability')) throw unavailable('Injected fault: answer lost.');
    return stored.map(({ wire }) => wire.messageId);
  }

  /** Acks what these ids name; ids that have ended or were never given are passed over, as the service may. */
  acknowledge(subscription: Subscription, ackIds: readonly string[]): void {
    const sequences = subscription.acknowledge(ackIds);
    if (sequences.length > 0) this.#log({ acked: subscription.name, sequences });
  }

  modifyAckDeadline(subscription: Subscription, ackIds: readonly string[], seconds: number): void {
    if (!(seconds >= 0 && seconds <= MAX_ACK_DEADLINE_SECONDS)) {
      throw invalid(`The ack deadline is ${seconds} s; it must be 0 to ${MAX_ACK_DEADLINE_SECONDS} s.`);
    }
    subscription.modifyAckDeadline(ackIds, seconds);
  }

  /** Redelivers what was not answered in time and keeps the journal short; to be called often. */
  tick(): void {
    for (const subscription of this.#subscriptions.values()) subscription.expire();
    const size = this.#journal?.size ?? 0;
    if (size >= this.#options.rewriteAtBytes && size >= 2 * this.#sizeAfterRewrite) this.#rewrite();
  }

  stats(): SubscriptionStats[] {
    return this.subscriptions().map((subscription) => subscription.stats());
  }

  close(): void {
    this.#journal?.close();
  }

  #addSubscription(resource: SubscriptionResource): Subscription {
    const subscription = new Subscription(resource, {
      ...this.#options,
      deadLetter: (source, message) => this.#deadLetter(source, message),
    });
    this.#subscriptions.set(resource.name, subscription);
    return subscription;
  }

  #store(topicName: string, messages: readonly PubsubMessage[]): Promise<StoredMessage[]> {
    const atMs = this.#options.now();
    const stored = messages.map((message) => storedMessage(this.#nextSequence++, atMs, message));
    const { promise, resolve, reject } = Promise.withResolvers<StoredMessage[]>();
    const committed = (error?: Error): void => {
      if (error) {
        reject(unavailable(`The journal could not be written: ${error.message}`));
        return;
      }
      for (const subscription of this.#subscriptions.values()) {
        if (subscription.resource.topic !== topicName) continue;
        for (const message of stored) subscription.publish(message);
      }
      resolve(stored);
    };
    if (this.#journal) this.#log({ published: topicName, atMs, messages: stored.map(messageRecord) }, committed);
    else committed();
    return promise;
  }

  #deadLetter(source: Subscription, message: StoredMessage): boolean {
    const topic = source.resource.deadLetterPolicy?.deadLetterTopic;
    if (topic === undefined || !this.#topics.has(topic)) return false;
    const attributes = { ...message.wire.attributes, CloudPubSubDeadLetterSourceSubscription: source.name };
    this.#store(topic, [{ ...message.wire, attributes }]).then(
      () => this.#log({ acked: source.name, sequences: [message.sequence] }),
      () => source.publish(message),
    );
    return true;
  }

  /** Journals a change of topics and subscriptions at once, so that it stands where it happened among the publishes. */
  #record(record: JournalRecord): void {
    let failure: Error | undefined;
    this.#journal?.append(record, (error) => {
      failure = error;
    });
    this.#journal?.flush();
    if (failure) throw unavailable(`The journal could not be written: ${failure.message}`);
  }

  /** Journals with the next batch. A lost ack record only means a redelivery after a restart. */
  #log(record: JournalRecord, committed: (error?: Error) => void = () => {}): void {
    this.#journal?.append(record, committed);
  }

  #rewrite(): void {
    if (!this.#journal) return;
    this.#journal.rewrite(this.#snapshot());
    this.#sizeAfterRewrite = this.#journal.size;
  }

  *#snapshot(): Generator<JournalRecord> {
    yield { nextSequence: this.#nextSequence };
    for (const topic of this.#topics.values()) yield { topic };
    for (const subscription of this.#subscriptions.values()) {
      yield { subscription: subscription.resource };
      const unacked = [...subscription.unacked()].sort((a, b) => a.sequence - b.sequence);
      for (const message of unacked) {
        yield { unacked: subscription.name, atMs: message.publishedAtMs, messages: [messageRecord(message)] };
      }
    }
  }
}

function checkName(name: string, kind: 'topics' | 'subscriptions'): void {
  if (NAME.exec(name)?.[1] !== kind) throw invalid(`Invalid [${kind}] name: (name=${name})`);
}

/** What the real service would honour and this server does not must not look as if it worked. */
function refuseUnsupported(requested: SubscriptionResource): void {
  if (requested.enableExactlyOnceDelivery) throw unimplemented('enable_exactly_once_delivery is not supported here.');
  if (requested.filter) throw unimplemented('filter is not supported here.');
  if (requested.pushConfig?.pushEndpoint) throw unimplemented('push_config is not supported here.');
  if (requested.bigqueryConfig) throw unimplemented('bigquery_config is not supported here.');
  if (requested.cloudStorageConfig) throw unimplemented('cloud_storage_config is not supported here.');
}
