/** What the API takes, as schemas: the contract shows them, and clients have their types from here. */
import { type Static, Type } from 'typebox';
import { MAX_ORDER } from '../engine/append-ports.ts';
import { MAX_BATCH, MAX_ID_BYTES } from '../engine/message.ts';

/** The rule counts bytes of UTF-8: a text may be refused that is within these characters. */
const id = (description: string) =>
  Type.String({
    description: `${description} 1 to ${MAX_ID_BYTES} bytes of UTF-8 without control characters.`,
    minLength: 1,
    maxLength: MAX_ID_BYTES,
    pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$',
  });
const time = (description: string) =>
  Type.Unsafe<number | string>({
    description: `${description} ms since 1970, or ISO 8601 with its offset.`,
    anyOf: [
      { type: 'integer', minimum: 0, maximum: 253_402_300_799_999 },
      {
        type: 'string',
        pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,9})?(Z|[+-]\\d{2}:\\d{2})$',
      },
    ],
  });

export const messageRequestSchema = Type.Object(
  {
    tenant: Type.Optional(Type.String({ description: 'Tenant of the channel; "default" by default.' })),
    channel: Type.String({ description: 'The sender: a configured channel.' }),
    room: id('The end user; messages of a room arrive in the order in which they were published.'),
    messageId: Type.Optional(id("The publisher's own id, unique in the room: makes repeating harmless.")),
    to: Type.Optional(id('Address on the platform; the room by default.')),
    content: Type.Unsafe<Readonly<Record<string, unknown>>>({
      type: 'object',
      additionalProperties: true,
      description: 'What the platform gets; the guide of each platform says what it takes. At most 262,144 bytes.',
    }),
    notBefore: Type.Optional(time('Not sent before that.')),
    expiresAt: Type.Optional(time('Not sent from then on; later than notBefore.')),
    ackTimeoutMs: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 86_400_000, description: 'How long its ack is waited for, in ms.' }),
    ),
    failurePolicy: Type.Optional(
      Type.Unsafe<'move_on' | 'hold'>({
        type: 'string',
        enum: ['move_on', 'hold'],
        description: "After a final failure: go on, or wait for an operator. The channel's by default.",
      }),
    ),
    order: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_ORDER,
        description: "The publisher's own number within the room, from 1 on: what is ahead of its turn is parked.",
      }),
    ),
    supersedes: Type.Optional(id('messageId of an earlier message of the room, which is cancelled if it still waits.')),
  },
  { additionalProperties: false },
);
export type MessageRequest = Static<typeof messageRequestSchema>;

export const batchRequestSchema = Type.Object(
  {
    messages: Type.Array(messageRequestSchema, {
      minItems: 1,
      maxItems: MAX_BATCH,
      description: 'Each is accepted or refused by itself; those of a room keep the order of the batch.',
    }),
  },
  { additionalProperties: false },
);
export type BatchRequest = Static<typeof batchRequestSchema>;

export const channelSettingsSchema = Type.Unsafe<Readonly<Record<string, unknown>>>({
  type: 'object',
  additionalProperties: true,
  description:
    'The settings of a channel as a configuration file has them (docs/configuration.md), secrets by reference. A refusal lists every fault.',
});

const name = (description: string) => Type.String({ description, minLength: 1, maxLength: 256 });
const shards = {
  shard: Type.Optional(Type.Integer({ description: 'One shard; or first and last.' })),
  first: Type.Optional(Type.Integer({ description: 'The first of several.' })),
  last: Type.Optional(Type.Integer({ description: 'The last of them.' })),
};
const oneOrRange = {
  additionalProperties: false,
  anyOf: [{ required: ['shard'] }, { required: ['first', 'last'] }],
};

export const rebalanceRequestSchema = Type.Object(
  {
    dryRun: Type.Optional(Type.Boolean({ description: 'Say what would move and change nothing.' })),
    force: Type.Optional(Type.Boolean({ description: 'Also where no worker with a weight is left.' })),
    ifMembership: Type.Optional(
      Type.Integer({ minimum: 0, description: 'Only if the fleet is still the one of this number.' }),
    ),
    weights: Type.Optional(
      Type.Unsafe<Readonly<Record<string, number | null>>>({
        type: 'object',
        propertyNames: { minLength: 1, maxLength: 256 },
        additionalProperties: { type: ['number', 'null'] },
        description: 'By the names of nodes; null takes one back.',
      }),
    ),
    pins: Type.Optional(
      Type.Array(
        Type.Object(
          { ...shards, name: Type.Unsafe<string | null>({ type: ['string', 'null'], minLength: 1, maxLength: 256 }) },
          oneOrRange,
        ),
        { description: 'Shards that stay with the node of a name; null unpins them.' },
      ),
    ),
    moves: Type.Optional(
      Type.Array(Type.Object({ ...shards, worker: name('Id, or name of a node.') }, oneOrRange), {
        description: 'Shards that move once.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type RebalanceRequest = Static<typeof rebalanceRequestSchema>;
