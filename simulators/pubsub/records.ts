import { type StoredMessage, storedMessage } from './message.ts';
import type { SubscriptionResource, TopicResource } from './wire.ts';

/** Sequence, ordering key, attributes (0 for none) and data in base64. */
type MessageRecord = [sequence: number, orderingKey: string, attributes: Record<string, string> | 0, data: string];

/** A line of the journal. */
export type JournalRecord =
  | { topic: TopicResource }
  | { deletedTopic: string }
  | { subscription: SubscriptionResource }
  | { deletedSubscription: string }
  /** Published to the subscriptions that the topic had at this place of the journal. */
  | { published: string; atMs: number; messages: MessageRecord[] }
  /** From a rewrite: unacked messages of one subscription. */
  | { unacked: string; atMs: number; messages: MessageRecord[] }
  | { acked: string; sequences: number[] }
  /** From a rewrite: the next sequence to give. */
  | { nextSequence: number };

export function messageRecord({ sequence, wire }: StoredMessage): MessageRecord {
  const attributes = Object.keys(wire.attributes).length === 0 ? 0 : wire.attributes;
  return [sequence, wire.orderingKey, attributes, wire.data.toString('base64')];
}

function storedFrom([sequence, orderingKey, attributes, data]: MessageRecord, atMs: number): StoredMessage {
  return storedMessage(sequence, atMs, {
    orderingKey,
    attributes: attributes || {},
    data: Buffer.from(data, 'base64'),
  });
}

/** What a journal amounts to. */
export interface Restored {
  topics: Map<string, TopicResource>;
  /** Each subscription with its unacked messages, in publish order. */
  subscriptions: Map<string, { resource: SubscriptionResource; unacked: Map<number, StoredMessage> }>;
  nextSequence: number;
}

export async function restore(records: AsyncIterable<unknown>): Promise<Restored> {
  const restored: Restored = { topics: new Map(), subscriptions: new Map(), nextSequence: 1 };
  for await (const record of records) apply(restored, record as JournalRecord);
  return restored;
}

function apply(restored: Restored, record: JournalRecord): void {
  const { topics, subscriptions } = restored;
  if ('topic' in record) topics.set(record.topic.name, record.topic);
  else if ('deletedTopic' in record) {
    topics.delete(record.deletedTopic);
    for (const { resource } of subscriptions.values()) {
      if (resource.topic === record.deletedTopic) resource.topic = DELETED_TOPIC;
    }
  } else if ('subscription' in record) {
    subscriptions.set(record.subscription.name, { resource: record.subscription, unacked: new Map() });
  } else if ('deletedSubscription' in record) subscriptions.delete(record.deletedSubscription);
  else if ('acked' in record) {
    const unacked = subscriptions.get(record.acked)?.unacked;
    for (const sequence of record.sequences) unacked?.delete(sequence);
  } else if ('nextSequence' in record) restored.nextSequence = record.nextSequence;
  else {
    const receivers =
      'unacked' in record
        ? [subscriptions.get(record.unacked)]
        : [...subscriptions.values()].filter(({ resource }) => resource.topic === record.published);
    for (const messageRecord of record.messages) {
      const message = storedFrom(messageRecord, record.atMs);
      for (const receiver of receivers) receiver?.unacked.set(message.sequence, message);
      restored.nextSequence = Math.max(restored.nextSequence, message.sequence + 1);
    }
  }
}

/** The service's own name for the topic of a subscription whose topic is gone. */
export const DELETED_TOPIC = '_deleted-topic_';
