import { invalid } from './errors.ts';
import type { PubsubMessage } from './wire.ts';

/** A published message as every subscription of its topic shares it. */
export interface StoredMessage {
  /** Rises by one per message of this server, over restarts too; the message id is its decimal form. */
  readonly sequence: number;
  readonly publishedAtMs: number;
  /** Bytes of data, key and attributes, as flow control counts them. */
  readonly size: number;
  readonly wire: PubsubMessage;
}

const MAX_MESSAGES_PER_PUBLISH = 1_000;
const MAX_PUBLISH_BYTES = 10_000_000;
const MAX_ATTRIBUTES = 100;
const MAX_ATTRIBUTE_KEY_BYTES = 256;
const MAX_ATTRIBUTE_VALUE_BYTES = 1_024;
const MAX_ORDERING_KEY_BYTES = 1_024;

export function storedMessage(
  sequence: number,
  publishedAtMs: number,
  content: Pick<PubsubMessage, 'data' | 'attributes' | 'orderingKey'>,
): StoredMessage {
  const publishTime = { seconds: Math.floor(publishedAtMs / 1_000), nanos: (publishedAtMs % 1_000) * 1_000_000 };
  const { attributes, orderingKey } = content;
  // A copy, because the original is a window on its whole request, which would stay in memory with it.
  const data = Buffer.from(content.data);
  const wire = { data, attributes, orderingKey, messageId: String(sequence), publishTime };
  return { sequence, publishedAtMs, size: contentBytes(content), wire };
}

/** Holds a publish request to the service's documented limits. @throws PubSubError INVALID_ARGUMENT */
export function checkPublish(messages: readonly PubsubMessage[]): void {
  if (messages.length === 0) throw invalid('The request has no messages.');
  if (messages.length > MAX_MESSAGES_PER_PUBLISH) {
    throw invalid(`The request has ${messages.length} messages; the limit is ${MAX_MESSAGES_PER_PUBLISH}.`);
  }
  let bytes = 0;
  for (const message of messages) {
    checkMessage(message);
    bytes += contentBytes(message);
  }
  if (bytes > MAX_PUBLISH_BYTES) throw invalid(`The request has ${bytes} bytes; the limit is ${MAX_PUBLISH_BYTES}.`);
}

function checkMessage({ data, attributes, orderingKey }: PubsubMessage): void {
  const entries = Object.entries(attributes);
  if (data.length === 0 && entries.length === 0) throw invalid('A message needs data or at least one attribute.');
  if (entries.length > MAX_ATTRIBUTES) throw invalid(`A message may have ${MAX_ATTRIBUTES} attributes.`);
  for (const [key, value] of entries) {
    const keyBytes = Buffer.byteLength(key);
    if (keyBytes === 0 || keyBytes > MAX_ATTRIBUTE_KEY_BYTES) {
      throw invalid(`An attribute's key has 1 to ${MAX_ATTRIBUTE_KEY_BYTES} bytes.`);
    }
    if (Buffer.byteLength(value) > MAX_ATTRIBUTE_VALUE_BYTES) {
      throw invalid(`An attribute's value has at most ${MAX_ATTRIBUTE_VALUE_BYTES} bytes.`);
    }
  }
  if (Buffer.byteLength(orderingKey) > MAX_ORDERING_KEY_BYTES) {
    throw invalid(`An ordering key has at most ${MAX_ORDERING_KEY_BYTES} bytes.`);
  }
}

function contentBytes({
  data,
  attributes,
  orderingKey,
}: Pick<PubsubMessage, 'data' | 'attributes' | 'orderingKey'>): number {
  let bytes = data.length + Buffer.byteLength(orderingKey);
  for (const key of Object.keys(attributes)) bytes += Buffer.byteLength(key) + Buffer.byteLength(attributes[key] ?? '');
  return bytes;
}
