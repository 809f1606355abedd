/**
 * The parts of google.pubsub.v1 that this server reads and writes, as proto-loader hands them over
 * (camelCase, int64 as number, defaults filled in).
 */

export interface Timestamp {
  seconds: number;
  nanos: number;
}

export interface PubsubMessage {
  data: Buffer;
  attributes: Record<string, string>;
  messageId: string;
  publishTime: Timestamp | null;
  orderingKey: string;
}

export interface TopicResource {
  name: string;
  labels: Record<string, string>;
}

export interface DeadLetterPolicy {
  deadLetterTopic: string;
  maxDeliveryAttempts: number;
}

/** A subscription; every field beyond these is kept as the client sent it and echoed back. */
export interface SubscriptionResource {
  name: string;
  topic: string;
  ackDeadlineSeconds: number;
  enableMessageOrdering: boolean;
  deadLetterPolicy?: DeadLetterPolicy | null;
  enableExactlyOnceDelivery?: boolean;
  filter?: string;
  pushConfig?: { pushEndpoint: string } | null;
  bigqueryConfig?: { table: string } | null;
  cloudStorageConfig?: { bucket: string } | null;
  [field: string]: unknown;
}

export interface ReceivedMessage {
  ackId: string;
  message: PubsubMessage;
  deliveryAttempt: number;
}

export interface StreamingPullRequest {
  subscription: string;
  ackIds: string[];
  modifyDeadlineSeconds: number[];
  modifyDeadlineAckIds: string[];
  streamAckDeadlineSeconds: number;
  maxOutstandingMessages: number;
  maxOutstandingBytes: number;
  protocolVersion: number;
}

export interface StreamingPullResponse {
  receivedMessages?: ReceivedMessage[];
  subscriptionProperties?: { exactlyOnceDeliveryEnabled: boolean; messageOrderingEnabled: boolean };
}
