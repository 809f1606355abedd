/** What the contract says of operators' orders, of dead letters and of failures. */
import { Type } from 'typebox';
import { MAX_LETTERS } from '../engine/dead-letters.ts';
import type { OperationText } from './contract.ts';
import { messageRequestSchema } from './requests.ts';
import { FINGERPRINT } from './steering-schemas.ts';

const order = {
  reason: Type.Optional(
    Type.Unsafe<string | null>({
      type: ['string', 'null'],
      maxLength: 500,
      description: 'Your own words, for the audit.',
    }),
  ),
  dryRun: Type.Optional(Type.Boolean({ description: 'Say what would happen and do nothing.' })),
};
const strict = { additionalProperties: false };
export const orderRequestSchema = Type.Object(order, strict);
export const skipGapRequestSchema = Type.Object(
  {
    ...order,
    waitsFor: Type.Optional(
      Type.Unsafe<number | null>({
        type: ['integer', 'null'],
        minimum: 1,
        description: 'Only where the room waits for this number.',
      }),
    ),
  },
  strict,
);
export const replayRequestSchema = Type.Object(
  { ...order, message: Type.Optional(messageRequestSchema) },
  { ...strict, description: 'A message takes the place of a payload that intake refused.' },
);
const word = Type.Optional(Type.String({ minLength: 1, maxLength: 256 }));
const time = Type.Optional(Type.Integer({ minimum: 0, description: 'ms since 1970.' }));
export const selectionRequestSchema = Type.Object(
  {
    ...order,
    ids: Type.Optional(Type.Array(Type.Integer({ minimum: 1 }), { minItems: 1, maxItems: MAX_LETTERS })),
    filter: Type.Optional(
      Type.Object(
        {
          tenant: word,
          channel: word,
          room: word,
          kind: Type.Optional(Type.Union([Type.Literal('message'), Type.Literal('intake')])),
          reason: word,
          code: word,
          fingerprint: Type.Optional(Type.String({ pattern: FINGERPRINT })),
          from: time,
          until: time,
        },
        {
          ...strict,
          dependentRequired: { room: ['channel'] },
          description: 'Those that are open, the oldest first; instead of ids.',
        },
      ),
    ),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_LETTERS, description: 'With filter.' })),
  },
  { ...strict, oneOf: [{ required: ['ids'] }, { required: ['filter'] }] },
);

const AT = 1_767_225_600_000;
const ID = 'AAEAAAAAAAEAAQ-x7f3k2';
const FINGERPRINT_OF_EXAMPLE = '9f86d081884c7d659a2feaa0c55ad015';
const NEW_ID = 'AAEAAAAAAAEABQ-q91mz0';
const room = {
  asOf: AT,
  tenant: 'default',
  channel: 'support',
  room: 'r-1',
  phase: 'waiting',
  reason: 'paused',
  explanation: 'message 2 waits: the room is paused by an operator',
  paused: true,
  since: AT,
  until: null,
  head: 2,
  tail: 3,
  counts: { accepted: 3, settled: 1, waiting: 2, parked: 0 },
};
const message = {
  asOf: AT + 2_000,
  id: ID,
  tenant: 'default',
  channel: 'support',
  room: 'r-1',
  sequence: 1,
  messageId: 'order-17',
  requestId: 'req-1',
  state: 'settled',
  outcome: 'failed',
  order: null,
  reason: 'refused',
  code: '131026',
  level: 'none',
  levelAt: null,
  platformId: null,
  acceptedAt: AT,
  notBefore: null,
  expiresAt: null,
  cancelled: false,
  cancelledBy: null,
  settledAt: AT + 900,
  possiblyDelivered: false,
  attempts: [
    { number: 1, worker: 'w-1', generation: 1, begunAt: AT + 5, endedAt: AT + 900, result: 'refused', code: '131026' },
  ],
};
const letter = {
  id: 31,
  at: AT + 900,
  kind: 'message',
  reason: 'refused',
  code: '131026',
  detail: null,
  fingerprint: FINGERPRINT_OF_EXAMPLE,
  tenant: 'default',
  channel: 'support',
  room: 'r-1',
  message: { id: ID, sequence: 1 },
  state: 'open',
  closedAt: null,
  closedBy: null,
  replayedAs: null,
};
const replayed = {
  dryRun: false,
  replayed: 1,
  refused: 0,
  more: false,
  letters: [
    {
      letter: 31,
      result: 'replayed',
      tenant: 'default',
      channel: 'support',
      room: 'r-1',
      from: { id: ID, sequence: 1 },
      to: { id: NEW_ID, sequence: 4 },
      possiblyDelivered: false,
    },
  ],
};
const discarded = { dryRun: false, discarded: [31], refused: [], more: false };
const roomErrors = ['room_not_found', 'channel_not_found', 'conflict_state'] as const;
const messageErrors = ['message_not_found', 'message_settled', 'room_not_found', 'conflict_state'] as const;
const replayErrors = [
  'batch_too_large',
  'another_history',
  'dead_letter_not_found',
  'dead_letter_closed',
  'message_not_found',
  'message_id_conflict',
  'channel_unknown',
  'channel_not_found',
  'room_not_found',
  'content_invalid',
  'payload_too_large',
  'number_not_finite',
  'id_invalid',
  'id_too_long',
] as const;
const orderBody = { schema: orderRequestSchema, example: { reason: 'the customer called' } };

function orderOfRoom(name: 'pause' | 'resume', summary: string): OperationText {
  const effect = { order: name, changed: true, dryRun: false, effect: 'at_once' };
  const explanation = name === 'pause' ? 'no attempt begins until the room is resumed' : '2 waiting messages go on';
  return {
    operationId: `${name}Room`,
    tag: 'operate',
    summary,
    errors: roomErrors,
    body: orderBody,
    example: { ...effect, explanation, room },
  };
}

function orderOfMessage(
  name: 'skip' | 'retry' | 'cancel',
  summary: string,
  errors: NonNullable<OperationText['errors']>,
): OperationText {
  const effect = { order: name, changed: true, dryRun: false, effect: 'at_once' };
  const explanation = name === 'retry' ? 'it is sent as soon as a permit is to be had' : 'it has settled as skipped';
  return {
    operationId: `${name}Message`,
    tag: 'operate',
    summary,
    errors: [...messageErrors, ...errors],
    body: orderBody,
    example: { ...effect, explanation, message },
  };
}

export const STEERING_OPERATIONS: Readonly<Record<string, OperationText>> = {
  'POST /v1/rooms/:channel/:room/pause': orderOfRoom('pause', 'Begins no further attempt in a room.'),
  'POST /v1/rooms/:channel/:room/resume': orderOfRoom('resume', 'Lets a paused room go on.'),
  'POST /v1/rooms/:channel/:room/skip-gap': {
    operationId: 'skipGap',
    tag: 'operate',
    summary: "Gives up the numbers that a publisher's order lacks: what is parked behind them goes on.",
    errors: ['room_not_found', 'channel_not_found', 'no_gap', 'another_history'],
    body: { schema: skipGapRequestSchema, example: { waitsFor: 7, reason: 'the publisher lost it' } },
    example: { waitsFor: 7, skipped: { first: 7, last: 8 }, dryRun: false, room },
  },
  'POST /v1/messages/:id/skip': orderOfMessage('skip', 'Settles the head of a room without sending it.', [
    'message_not_head',
    'order_pending',
  ]),
  'POST /v1/messages/:id/retry': orderOfMessage('retry', 'Sends a head that is held, or backs off, at once.', [
    'message_not_head',
    'message_not_held',
  ]),
  'POST /v1/messages/:id/cancel': orderOfMessage('cancel', 'Cancels a message wherever it stands.', ['order_pending']),
  'GET /v1/dead-letters': {
    operationId: 'listDeadLetters',
    tag: 'read',
    summary: 'Messages that failed for good and payloads that intake refused, newest first.',
    errors: ['channel_not_found', 'room_not_found', 'id_too_long', 'id_invalid', 'text_nul_or_surrogate'],
    example: { asOf: AT + 2_000, letters: [letter], cursor: null },
  },
  'GET /v1/dead-letters/:id': {
    operationId: 'getDeadLetter',
    tag: 'read',
    summary: 'A dead letter with what became of its message; with scope operate its body, too.',
    errors: ['dead_letter_not_found'],
    example: { asOf: AT + 2_000, ...letter, outcome: message, body: { to: '+15550100', content: { text: 'Hello' } } },
  },
  'POST /v1/dead-letters/:id/replay': {
    operationId: 'replayDeadLetter',
    tag: 'operate',
    summary: 'Appends it anew at the tail of its room, linked to the old message.',
    errors: replayErrors,
    body: { schema: replayRequestSchema, example: { reason: 'the number works again' } },
    example: replayed,
  },
  'POST /v1/dead-letters/:id/discard': {
    operationId: 'discardDeadLetter',
    tag: 'operate',
    summary: 'Closes it without sending anything.',
    errors: ['dead_letter_not_found', 'dead_letter_closed'],
    body: orderBody,
    example: discarded,
  },
  'POST /v1/dead-letters:replay': {
    operationId: 'replayDeadLetters',
    tag: 'operate',
    summary: `Replays up to ${MAX_LETTERS} in order; a dry run says which, and in which order.`,
    errors: replayErrors,
    body: {
      schema: selectionRequestSchema,
      example: { filter: { channel: 'support', fingerprint: FINGERPRINT_OF_EXAMPLE }, dryRun: true },
    },
    example: replayed,
  },
  'POST /v1/dead-letters:discard': {
    operationId: 'discardDeadLetters',
    tag: 'operate',
    summary: `Closes up to ${MAX_LETTERS} without sending anything.`,
    errors: ['channel_not_found', 'room_not_found', 'id_invalid', 'id_too_long'],
    body: { schema: selectionRequestSchema, example: { ids: [31] } },
    example: discarded,
  },
  'GET /v1/failures': {
    operationId: 'listFailures',
    tag: 'read',
    summary: "Failures grouped by channel, kind, code and the platform's words, the last seen first.",
    errors: ['channel_not_found', 'id_too_long', 'id_invalid', 'text_nul_or_surrogate'],
    example: {
      asOf: AT + 2_000,
      failures: [
        {
          fingerprint: FINGERPRINT_OF_EXAMPLE,
          tenant: 'default',
          channel: 'support',
          kind: 'refused',
          code: '131026',
          count: 12,
          deadLetters: 12,
          firstSeen: AT,
          lastSeen: AT + 900,
          sample: { id: ID, sequence: 1 },
        },
      ],
    },
  },
};
