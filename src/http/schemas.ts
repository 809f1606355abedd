/** What the API answers, as schemas: they shape the output, and an answer holds nothing that they do not name. */
import { type Static, Type } from 'typebox';
import { ACK_LEVELS, CANCELLED_BY, OUTCOMES, PHASES } from '../room/room.ts';
import { SCOPES } from './keys.ts';

export const text = (description: string) => Type.String({ description });
export const integer = (description: string) => Type.Integer({ description });
export const flag = (description: string) => Type.Boolean({ description });
export const textOrNull = (description: string) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], description });
export const integerOrNull = (description: string) =>
  Type.Unsafe<number | null>({ type: ['integer', 'null'], description });
/** Of whatever shows a state. */
export const asOf = integer('When this was so, at the earliest: engine time, ms since 1970.');
const oneOf = <const T extends readonly string[]>(values: T, description: string) =>
  Type.Unsafe<T[number]>({ type: 'string', enum: values, description });
const oneOfOrNull = <const T extends readonly string[]>(values: T, description: string) =>
  Type.Unsafe<T[number] | null>({ type: ['string', 'null'], enum: [...values, null], description });

export const faultSchema = Type.Object({
  path: text('The setting that is wrong, such as backoff.maxMs.'),
  code: text('Stable; see docs/channels/operating.md.'),
  rule: text('The rule that it breaks.'),
  action: text('What to do about it.'),
});

export const problemSchema = Type.Object(
  {
    type: text('urn:roomline:error:<code>'),
    title: text('The same for every occurrence of the code.'),
    status: integer('The HTTP status.'),
    detail: text('What is wrong this time.'),
    code: text('Stable; see docs/errors.md.'),
    action: text('What to do about it.'),
    retryable: flag('Whether the same request may succeed later.'),
    requestId: text('Names this request to an operator.'),
    field: Type.Optional(text('The field that breaks a rule.')),
    rule: Type.Optional(text('The rule that it breaks.')),
    retryAfterMs: Type.Optional(integer('How long to wait before repeating, in ms.')),
    faults: Type.Optional(Type.Array(faultSchema, { description: 'Everything that is wrong with what was sent.' })),
  },
  { description: 'Problem details (RFC 9457).' },
);

export const acceptedSchema = Type.Object({
  id: textOrNull('Names the message from now on; null while it has no sequence.'),
  room: text('The room that the message joined.'),
  sequence: integerOrNull('Its number in its room, from 1, without gaps; null while it is parked or in the buffer.'),
  duplicate: Type.Unsafe<boolean | null>({
    type: ['boolean', 'null'],
    description:
      'The same message id and content had been accepted before; nothing was added. Null where it is in the buffer: that is not known yet.',
  }),
  status: text('Where to ask what became of it.'),
  mode: oneOf(
    ['direct', 'buffered'],
    'Direct: it is committed. Buffered: it is in a stream of Redis, from where it will be.',
  ),
  parked: Type.Optional(
    Type.Object(
      {
        order: integer("Its number in its publisher's order."),
        waitsFor: integer('The number that its room waits for first.'),
      },
      { description: 'It is durable and ahead of its turn; only where it is.' },
    ),
  ),
  late: Type.Optional(flag('It came after its number had been skipped, and stands at the tail; only where it did.')),
});

export const batchAcceptedSchema = Type.Object({
  accepted: integer('Messages that are durable now, duplicates included.'),
  refused: integer('Messages that are not; each has an error in `results`.'),
  results: Type.Array(
    Type.Object({
      index: integer('Place of the message in the batch, from 0.'),
      ...Type.Partial(acceptedSchema).properties,
      error: Type.Optional(problemSchema),
    }),
    { description: 'One for each message in the order of the batch: what POST /v1/messages answers, or an error.' },
  ),
});

const attemptSchema = Type.Object({
  number: integer('1, 2, 3 … within the message.'),
  worker: text('The process that sent it, named anew at every start.'),
  generation: integer("That process's fence generation."),
  begunAt: integer('ms since 1970.'),
  endedAt: integerOrNull('ms since 1970; null while the request is open.'),
  result: oneOfOrNull(['accepted', 'refused', 'unknown', 'interrupted'], 'Null while the request is open.'),
  code: textOrNull("The platform's code, or ours where it gave none."),
  highestLevel: Type.Optional(text('The highest ack level that this content ever gets, where the answer told that.')),
});

export const messageSchema = Type.Object({
  id: text('Names the message.'),
  tenant: text('Tenant of the room.'),
  channel: text('Channel of the room.'),
  room: text('The room.'),
  sequence: integer('Its number in its room.'),
  messageId: text("The publisher's id, or the one given in its place."),
  requestId: textOrNull('Of the request that published it; null for one that came by the queue.'),
  publisherOrder: Type.Optional(integer("Its number in its publisher's order; only where it has one.")),
  late: Type.Optional(flag('It came after that number had been skipped; only where it did.')),
  replays: Type.Optional(text('The message whose dead letter it is a replay of; only where it is one.')),
  asOf: integer('When this was so: engine time, ms since 1970.'),
  state: oneOf(['waiting', 'settled'], 'Waiting includes in flight.'),
  outcome: oneOfOrNull(OUTCOMES, 'Null while it waits.'),
  order: oneOfOrNull(
    ['proven', 'assumed'],
    'Proven by an ack, or assumed without one; null while it waits and for messages that did not reach the platform.',
  ),
  reason: textOrNull('Why it settled.'),
  code: textOrNull("The platform's last code."),
  level: oneOf(ACK_LEVELS, 'The highest ack level seen.'),
  levelAt: integerOrNull('When it was reached, ms since 1970.'),
  platformId: textOrNull("The platform's id of it."),
  acceptedAt: integer('When intake committed it, ms since 1970.'),
  notBefore: integerOrNull('Not sent before, ms since 1970.'),
  expiresAt: integerOrNull('Not sent from then on, ms since 1970.'),
  cancelled: flag('It was cancelled; while it waits, it settles when it becomes the head.'),
  cancelledBy: oneOfOrNull(CANCELLED_BY, 'An operator, or a newer message that supersedes it; null where nobody did.'),
  settledAt: integerOrNull('ms since 1970.'),
  possiblyDelivered: flag('It was not acked and may have reached the platform all the same.'),
  attempts: Type.Array(attemptSchema),
});
export type MessageView = Static<typeof messageSchema>;

export const roomMessageSchema = Type.Object({
  ...messageSchema.properties,
  id: textOrNull('Names the message; null while it has no sequence.'),
  sequence: integerOrNull('Its number in its room; null while it is parked, and before it is inserted.'),
  state: oneOf(
    ['waiting', 'settled', 'parked', 'buffered', 'set_aside'],
    'Waiting includes in flight; parked: ahead of its turn; buffered: in the buffer, to be inserted; set_aside: there, among the entries that could not be.',
  ),
  reason: textOrNull('Why it settled, or was set aside.'),
  acceptedAt: integerOrNull('When intake committed it, ms since 1970; null before that.'),
  parked: Type.Optional(
    Type.Object({
      order: integer("Its number in its publisher's order."),
      waitsFor: integer('The number that its room waits for first.'),
      since: integer('Since when it waits for that one, ms since 1970.'),
    }),
  ),
});
export type RoomMessageView = Static<typeof roomMessageSchema>;

export const messageListSchema = Type.Object({
  asOf,
  messages: Type.Array(messageSchema, { description: 'Newest first.' }),
  before: integerOrNull('Ask with ?before= this for the next page; null on the last.'),
});

export const roomSchema = Type.Object({
  tenant: text('Tenant of the room.'),
  channel: text('Channel of the room.'),
  room: text('The room.'),
  asOf: integer('When this was so: engine time, ms since 1970.'),
  phase: oneOf(PHASES, 'What the room is doing.'),
  reason: textOrNull('Why it waits or is held.'),
  explanation: text('One line that says why it waits.'),
  paused: flag('An operator paused it.'),
  since: integer('When the phase began, ms since 1970.'),
  until: integerOrNull("The phase's own deadline, ms since 1970."),
  head: integerOrNull('Sequence of the first unsettled message.'),
  tail: integer('Sequence of the last accepted message, 0 for none.'),
  counts: Type.Object({
    accepted: integer('Messages ever accepted.'),
    settled: integer('Messages that have settled.'),
    waiting: integer('Messages that have not.'),
    parked: integer("Messages ahead of their turn in their publisher's order; they are not among the others."),
  }),
  gap: Type.Optional(
    Type.Object(
      {
        waitsFor: integer('The first missing number.'),
        since: integer('Since when messages are parked behind it, ms since 1970.'),
        skippedAt: integerOrNull('When it is given up, ms since 1970; null: when an operator does.'),
      },
      { description: "What its publisher's order lacks; only where something is parked for that." },
    ),
  ),
});
export type RoomView = Static<typeof roomSchema>;

const channelSchema = Type.Object({
  tenant: text('Tenant of the channel.'),
  channel: text('Its name.'),
  account: text('The account on the platform side.'),
  platform: text('Which adapter speaks for it.'),
  state: oneOf(['open', 'slowed', 'stopped', 'ack_outage'], 'What the channel does at present.'),
  reason: textOrNull('Why it is slowed or stopped.'),
  since: integerOrNull('Since when it is stopped or without acks, ms since 1970.'),
  until: integerOrNull('Until when it is slowed, ms since 1970.'),
  waitingRooms: integer('Rooms that stand in its permit queue at this worker.'),
  ackTimeoutMs: integerOrNull('How long a message accepted now waits for its ack, in ms, unless it says so itself.'),
});
export type ChannelView = Static<typeof channelSchema>;
export const channelListSchema = Type.Object({ asOf, channels: Type.Array(channelSchema) });

/** Settings have the shape of the configuration's; secrets among them are references or masked. */
const settingsOrNull = (description: string) =>
  Type.Unsafe<Readonly<Record<string, unknown>> | null>({
    type: ['object', 'null'],
    additionalProperties: true,
    description,
  });
const anything = (description: string) => Type.Unsafe<unknown>({ description });

export const managedChannelSchema = Type.Object({
  ...channelSchema.properties,
  account: textOrNull('The account on the platform side; null where its settings cannot be used.'),
  platform: textOrNull('Which adapter speaks for it; null where its settings cannot be used.'),
  source: oneOf(['file', 'api'], 'Where it is configured.'),
  revision: integerOrNull('The number of the change that made it what it is; null for a file.'),
  updatedAt: integerOrNull('When that was, ms since 1970.'),
  updatedBy: textOrNull('The name of the key that did it.'),
  settings: settingsOrNull('As they were given; null for a file.'),
  effective: settingsOrNull('What this process works with: the settings over the defaults. Null where it has none.'),
  faults: Type.Array(faultSchema, { description: 'Why this process cannot use what is stored.' }),
  warnings: Type.Array(faultSchema, { description: 'What works and may not be meant.' }),
});
export type ManagedChannel = Static<typeof managedChannelSchema>;
export const managedChannelDetailSchema = Type.Object({ asOf, ...managedChannelSchema.properties });
export const managedChannelListSchema = Type.Object({ asOf, channels: Type.Array(managedChannelSchema) });

const changeSchema = Type.Object({
  path: text('The setting.'),
  before: anything('In force now; null where it is not set.'),
  after: anything('In force then.'),
});
export type SettingChange = Static<typeof changeSchema>;

export const previewSchema = Type.Object({
  effect: oneOf(['create', 'change', 'none'], 'What PUT would do.'),
  revision: integerOrNull('Of what is stored now.'),
  effective: settingsOrNull('The settings over the defaults.'),
  changes: Type.Array(changeSchema, { description: 'What would be different, setting by setting.' }),
  warnings: Type.Array(faultSchema, { description: 'What would work and may not be meant.' }),
});

export const removedSchema = Type.Object({
  tenant: text('Tenant of the channel.'),
  channel: text('Its name.'),
  waitingRooms: integer('Rooms that keep messages until the channel is there again.'),
});

export const auditEntrySchema = Type.Object({
  id: integer('Ascends.'),
  at: integer('ms since 1970.'),
  actor: text('The name of the key.'),
  action: text('Such as channel.put.'),
  subject: text('Such as channel:default/support.'),
  detail: anything('What was before, and after.'),
  requestId: text('Of the request that did it.'),
});
export const auditListSchema = Type.Object({
  asOf,
  entries: Type.Array(auditEntrySchema, { description: 'Newest first.' }),
  before: integerOrNull('Ask with ?before= this for the next page; null on the last.'),
});

export const keySchema = Type.Object({
  name: text('Its name in the configuration.'),
  scopes: Type.Array(oneOf(SCOPES, 'What it may be used for.')),
  tenants: Type.Unsafe<readonly string[] | null>({
    type: ['array', 'null'],
    items: { type: 'string' },
    description:
      'Whose things it reaches; null: those of all, and what concerns the deployment as a whole, such as the fleet.',
  }),
});
export type KeyView = Static<typeof keySchema>;

export const webhookSchema = Type.Object({ received: integer('Statuses that the call carried.') });

export const healthSchema = Type.Object({ status: Type.Literal('alive') });

const dependencySchema = Type.Object({
  name: text('Such as postgres.'),
  ok: flag('Whether it serves.'),
  detail: text('The reason, in a few words.'),
  needed: Type.Optional(flag('False: requests are served without it; else left out.')),
});
export type Readiness = Static<typeof dependencySchema>;
export const readinessSchema = Type.Object({
  ready: flag('Whether every dependency serves that is needed.'),
  dependencies: Type.Array(dependencySchema),
});
