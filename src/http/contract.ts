/** What the contract says of each operation beyond the schemas of its route: words, errors, bodies and examples. */
import type { TSchema } from 'typebox';
import { MAX_ID_BYTES } from '../engine/message.ts';
import type { ErrorCode } from '../errors.ts';
import { BUFFER_OPERATIONS } from './buffer-schemas.ts';
import { DEVELOPMENT_OPERATIONS } from './development-schemas.ts';
import { LIVE_OPERATIONS, liveEventSchema } from './live-schemas.ts';
import { PIPELINE_OPERATIONS } from './pipeline-schemas.ts';
import { batchRequestSchema, channelSettingsSchema, messageRequestSchema, rebalanceRequestSchema } from './requests.ts';
import {
  acceptedSchema,
  auditEntrySchema,
  faultSchema,
  managedChannelSchema,
  messageSchema,
  problemSchema,
  roomSchema,
} from './schemas.ts';
import { STEERING_OPERATIONS } from './steering-contract.ts';

export interface OperationText {
  /** What clients call it. */
  readonly operationId: string;
  readonly tag: 'publish' | 'read' | 'operate' | 'platforms' | 'service';
  readonly summary: string;
  /** Codes beyond those that its kind of route has. */
  readonly errors?: readonly ErrorCode[];
  readonly headers?: Readonly<Record<string, object>>;
  readonly body?: { readonly schema: TSchema; readonly example: unknown; readonly type?: string };
  /** Content type of the answer; JSON by default. */
  readonly produces?: string;
  /** Of an answer that is JSON. */
  readonly example?: unknown;
}

/** Schemas that clients should see under a name. */
export const NAMED_SCHEMAS: Readonly<Record<string, TSchema>> = {
  Problem: problemSchema,
  Fault: faultSchema,
  MessageRequest: messageRequestSchema,
  Accepted: acceptedSchema,
  Message: messageSchema,
  Room: roomSchema,
  ManagedChannel: managedChannelSchema,
  AuditEntry: auditEntrySchema,
  LiveEvent: liveEventSchema,
};

const identifier = { minLength: 1, maxLength: MAX_ID_BYTES };
export const PARAMETERS: Readonly<Record<string, object>> = {
  id: { description: 'The id of a message.' },
  tenant: { ...identifier, description: 'Tenant of the channel.' },
  channel: { ...identifier, description: 'Name of the channel.' },
  room: { ...identifier, description: 'The room.' },
  messageId: { ...identifier, description: "The publisher's id of a message, or the one given in its place." },
  worker: { description: 'Id of a worker, or the name of its node.' },
  partition: { type: 'integer', minimum: 0, maximum: 255, description: 'Of the buffer, from 0.' },
};

/** Codes by the kind of route. */
export const COMMON_ERRORS = {
  all: ['internal', 'not_ready', 'overloaded', 'request_timeout', 'field_invalid', 'field_missing'],
  guarded: ['unauthorized', 'forbidden_scope', 'rate_limited', 'not_found'],
  query: ['field_unknown', 'field_type'],
  path: ['id_too_long', 'id_invalid', 'text_nul_or_surrogate'],
  body: [
    'body_malformed_json',
    'body_not_utf8',
    'body_too_large',
    'body_too_deep',
    'field_unknown',
    'field_type',
    'text_nul_or_surrogate',
    'unsupported_media_type',
  ],
} as const satisfies Readonly<Record<string, readonly ErrorCode[]>>;

const idempotencyKey = {
  'Idempotency-Key': {
    type: 'string',
    minLength: 1,
    maxLength: 250,
    pattern: '^[\\x21-\\x7e]+$',
    description: 'Stands for messageId where a message has none; in a batch ":<index>" is added.',
  },
};
const precondition = {
  'If-Match': { type: 'string', description: 'The revision that is expected, or *.' },
  'If-None-Match': { type: 'string', description: '* where there must be none yet.' },
};

const AT = 1_767_225_600_000;
const ID = 'AAEAAAAAAAEAAQ-x7f3k2';
const accepted = { id: ID, room: 'r-1', sequence: 1, duplicate: false, status: `/v1/messages/${ID}`, mode: 'direct' };
const message = {
  id: ID,
  tenant: 'default',
  channel: 'support',
  room: 'r-1',
  sequence: 1,
  messageId: 'order-17',
  requestId: 'req-1',
  asOf: AT + 5_000,
  state: 'settled',
  outcome: 'acked',
  order: 'proven',
  reason: null,
  code: null,
  level: 'delivered',
  levelAt: AT + 900,
  platformId: 'wamid.1',
  acceptedAt: AT,
  notBefore: null,
  expiresAt: null,
  cancelled: false,
  cancelledBy: null,
  settledAt: AT + 900,
  possiblyDelivered: false,
  attempts: [
    { number: 1, worker: 'w-1', generation: 1, begunAt: AT + 5, endedAt: AT + 80, result: 'accepted', code: null },
  ],
};
const channel = {
  tenant: 'default',
  channel: 'support',
  account: 'acme',
  platform: 'generic',
  state: 'open',
  reason: null,
  since: null,
  until: null,
  waitingRooms: 0,
  ackTimeoutMs: 5_000,
};
const settings = { platform: 'generic', account: 'acme', baseUrl: 'https://gateway.example', ackTimeoutMs: 5_000 };
const managed = {
  ...channel,
  source: 'api',
  revision: 1,
  updatedAt: AT,
  updatedBy: 'ops',
  settings,
  effective: settings,
  faults: [],
  warnings: [],
};
const audit = {
  id: 7,
  at: AT,
  actor: 'ops',
  action: 'channel.put',
  subject: 'channel:default/support',
  detail: { before: null, after: settings },
  requestId: 'req-1',
};
const drained = { worker: 'w-1', name: 'node-a', draining: true };
const rebalanced = {
  dryRun: true,
  membership: 4,
  moved: 1,
  moves: [{ shard: 12, from: { worker: 'w-1', name: 'node-a' }, to: { worker: 'w-2', name: 'node-b' } }],
  workers: [{ worker: 'w-1', name: 'node-a', before: 4_096, after: 4_095 }],
  warnings: [],
};
const publishErrors = ['id_invalid', 'id_too_long', 'number_not_finite', 'another_history'] as const;
const channelErrors = [
  'channel_in_file',
  'channel_settings_invalid',
  'revision_mismatch',
  'channel_not_found',
] as const;
const fleetErrors = [
  'worker_not_found',
  'worker_ambiguous',
  'worker_takes_none',
  'worker_last',
  'membership_changed',
] as const;

export const OPERATIONS: Readonly<Record<string, OperationText>> = {
  ...STEERING_OPERATIONS,
  ...DEVELOPMENT_OPERATIONS,
  'GET /healthz': {
    operationId: 'health',
    tag: 'service',
    summary: 'Whether the process lives.',
    example: { status: 'alive' },
  },
  'GET /readyz': {
    operationId: 'readiness',
    tag: 'service',
    summary: 'Whether every dependency serves.',
    example: { ready: true, dependencies: [{ name: 'postgres', ok: true, detail: 'serves' }] },
  },
  'GET /metrics': {
    operationId: 'metrics',
    tag: 'service',
    summary: 'Metrics in the text format of Prometheus.',
    produces: 'text/plain',
  },
  'GET /v1/openapi.json': {
    operationId: 'contract',
    tag: 'service',
    summary: 'This document.',
    produces: 'application/openapi+json',
  },
  'GET /docs': { operationId: 'docs', tag: 'service', summary: 'This document, to read.', produces: 'text/html' },
  'POST /v1/messages': {
    operationId: 'publishMessage',
    tag: 'publish',
    summary: 'Hands in one message; the answer says that it is durable.',
    errors: [
      ...publishErrors,
      'payload_too_large',
      'channel_unknown',
      'content_invalid',
      'message_id_conflict',
      'order_conflict',
    ],
    headers: idempotencyKey,
    body: {
      schema: messageRequestSchema,
      example: { channel: 'support', room: 'r-1', messageId: 'order-17', content: { text: 'Hello' } },
    },
    example: accepted,
  },
  'POST /v1/messages:batch': {
    operationId: 'publishBatch',
    tag: 'publish',
    summary: 'Hands in up to 5,000 messages, each accepted or refused by itself.',
    errors: [...publishErrors, 'batch_too_large'],
    headers: idempotencyKey,
    body: {
      schema: batchRequestSchema,
      example: { messages: [{ channel: 'support', room: 'r-1', messageId: 'order-17', content: { text: 'Hello' } }] },
    },
    example: { accepted: 1, refused: 0, results: [{ index: 0, ...accepted }] },
  },
  'GET /v1/messages/:id': {
    operationId: 'getMessage',
    tag: 'read',
    summary: 'What became of a message.',
    errors: ['message_not_found'],
    example: message,
  },
  'GET /v1/rooms/:channel/:room': {
    operationId: 'getRoom',
    tag: 'read',
    summary: 'What a room does and why.',
    errors: ['room_not_found'],
    example: {
      tenant: 'default',
      channel: 'support',
      room: 'r-1',
      asOf: AT,
      phase: 'awaiting_ack',
      reason: null,
      explanation: 'message 2 waits for its ack',
      paused: false,
      since: AT,
      until: AT + 5_000,
      head: 2,
      tail: 3,
      counts: { accepted: 3, settled: 1, waiting: 2, parked: 0 },
    },
  },
  'GET /v1/rooms/:channel/:room/messages': {
    operationId: 'listRoomMessages',
    tag: 'read',
    summary: 'The messages of a room, newest first.',
    errors: ['room_not_found'],
    example: { asOf: AT + 5_000, messages: [message], before: null },
  },
  'GET /v1/rooms/:channel/:room/messages/:messageId': {
    operationId: 'getRoomMessage',
    tag: 'read',
    summary: "A message by its publisher's id, wherever it is.",
    errors: ['message_not_found'],
    example: {
      ...message,
      id: null,
      sequence: null,
      publisherOrder: 9,
      state: 'parked',
      parked: { order: 9, waitsFor: 7, since: AT },
      outcome: null,
      order: null,
      level: 'none',
      levelAt: null,
      platformId: null,
      settledAt: null,
      attempts: [],
    },
  },
  ...PIPELINE_OPERATIONS,
  ...BUFFER_OPERATIONS,
  ...LIVE_OPERATIONS,
  'GET /v1/channels': {
    operationId: 'listChannels',
    tag: 'read',
    summary: 'The channels and what they do at present.',
    example: { asOf: AT, channels: [channel] },
  },
  'GET /v1/key': {
    operationId: 'getKey',
    tag: 'read',
    summary: 'What the key that it is asked with may do.',
    example: { name: 'support-desk', scopes: ['read', 'operate'], tenants: ['acme'] },
  },
  'GET /v1/ops/channels': {
    operationId: 'listManagedChannels',
    tag: 'operate',
    summary: 'The channels with their settings.',
    example: { asOf: AT, channels: [managed] },
  },
  'GET /v1/ops/channels/:tenant/:channel': {
    operationId: 'getManagedChannel',
    tag: 'operate',
    summary: 'One channel with its settings; its ETag is its revision.',
    errors: ['channel_not_found'],
    example: { asOf: AT, ...managed },
  },
  'PUT /v1/ops/channels/:tenant/:channel': {
    operationId: 'putChannel',
    tag: 'operate',
    summary: 'Makes a channel, or changes its settings.',
    errors: channelErrors,
    headers: precondition,
    body: { schema: channelSettingsSchema, example: settings },
    example: managed,
  },
  'POST /v1/ops/channels/:tenant/:channel': {
    operationId: 'previewChannel',
    tag: 'operate',
    summary: 'Says what PUT would do; changes nothing.',
    errors: channelErrors,
    headers: precondition,
    body: { schema: channelSettingsSchema, example: settings },
    example: {
      effect: 'change',
      revision: 1,
      effective: settings,
      changes: [{ path: 'ackTimeoutMs', before: 5_000, after: 4_000 }],
      warnings: [],
    },
  },
  'DELETE /v1/ops/channels/:tenant/:channel': {
    operationId: 'removeChannel',
    tag: 'operate',
    summary: 'Removes a channel; its rooms keep what waits.',
    errors: ['channel_in_file', 'channel_in_use', 'revision_mismatch', 'channel_not_found', 'unsupported_media_type'],
    headers: precondition,
    example: { tenant: 'default', channel: 'support', waitingRooms: 0 },
  },
  'GET /v1/ops/audit': {
    operationId: 'listAudit',
    tag: 'operate',
    summary: 'What operators did, newest first.',
    example: { asOf: AT + 5_000, entries: [audit], before: null },
  },
  'GET /v1/ops/workers': {
    operationId: 'listWorkers',
    tag: 'operate',
    summary: 'The processes of the fleet and what they hold.',
    example: {
      asOf: AT + 5_000,
      membership: 4,
      planned: true,
      unowned: 0,
      workers: [
        {
          worker: 'w-1',
          name: 'node-a',
          roles: ['worker'],
          weight: 1,
          ownWeight: 1,
          operatorWeight: null,
          draining: false,
          leaseLeftMs: 9_000,
          generation: 1,
          registeredAt: AT,
          shards: 4_096,
          leaving: 0,
          promised: 0,
          rooms: 2,
          waiting: 3,
        },
      ],
      weights: [],
    },
  },
  'GET /v1/ops/shards': {
    operationId: 'listShards',
    tag: 'operate',
    summary: 'The shards and who holds them.',
    errors: ['worker_not_found', 'worker_ambiguous'],
    example: {
      asOf: AT + 5_000,
      shards: [
        {
          shard: 12,
          owner: { worker: 'w-1', name: 'node-a' },
          heir: null,
          heirLeftMs: null,
          pin: null,
          epoch: 3,
          movedAt: AT,
          rooms: 1,
          waiting: 2,
        },
      ],
      after: 12,
    },
  },
  'POST /v1/ops/workers/:worker/drain': {
    operationId: 'drainWorker',
    tag: 'operate',
    summary: 'Has a worker give all its shards away.',
    errors: [...fleetErrors, 'unsupported_media_type'],
    example: drained,
  },
  'DELETE /v1/ops/workers/:worker/drain': {
    operationId: 'undrainWorker',
    tag: 'operate',
    summary: 'Lets a worker have shards again.',
    errors: [...fleetErrors, 'unsupported_media_type'],
    example: { ...drained, draining: false },
  },
  'POST /v1/ops/shards/rebalance': {
    operationId: 'rebalance',
    tag: 'operate',
    summary: 'Distributes the shards anew.',
    errors: [...fleetErrors, 'id_too_long', 'weight_invalid', 'shard_out_of_range', 'shard_repeated', 'shard_pinned'],
    headers: { 'If-Match': { type: 'string', description: 'The membership that is expected.' } },
    body: { schema: rebalanceRequestSchema, example: { dryRun: true, weights: { 'node-a': 2 }, pins: [] } },
    example: rebalanced,
  },
  'GET /v1/ops/rebalance': {
    operationId: 'rebalanceProgress',
    tag: 'operate',
    summary: 'How far the present distribution is.',
    example: {
      asOf: AT + 5_000,
      membership: 4,
      planned: true,
      running: false,
      changedAt: AT,
      unowned: 0,
      promised: 0,
      moved: 1,
      passages: [],
      last: null,
    },
  },
  'POST /v1/webhooks/:tenant/:channel': {
    operationId: 'receiveWebhook',
    tag: 'platforms',
    summary: 'What a platform reports; signed as the platform signs.',
    errors: [
      'not_found',
      'signature_invalid',
      'signature_unverified',
      'body_too_large',
      'body_too_deep',
      'body_malformed_json',
      'body_not_utf8',
      'field_type',
    ],
    body: { schema: { description: 'As the platform has it.' } as TSchema, example: {}, type: '*/*' },
    example: { received: 1 },
  },
  'GET /v1/webhooks/:tenant/:channel': {
    operationId: 'answerHandshake',
    tag: 'platforms',
    summary: 'Answers a platform that asks whether the address is ours.',
    errors: ['signature_invalid'],
    produces: 'text/plain',
  },
};
