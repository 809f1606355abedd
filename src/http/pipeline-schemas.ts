/** What is answered about where messages are, as schemas, and what the contract says of it. */
import { type Static, Type } from 'typebox';
import { LATENCIES, TOTALS } from '../engine/tallies.ts';
import { ACK_LEVELS } from '../room/room.ts';
import type { OperationText } from './contract.ts';
import { asOf, flag, integer, integerOrNull, roomSchema, text, textOrNull } from './schemas.ts';

const count = (description: string) => Type.Integer({ minimum: 0, description });

const depthSchema = Type.Object({
  rooms: count('Rooms that are there.'),
  messages: count('Messages that are there: each unsettled one is in exactly one stage.'),
});

/** Every unsettled message is in one of them; those behind a head wait. */
const stagesSchema = Type.Object({
  waiting: Type.Object({
    rooms: count('Rooms whose head waits for its turn.'),
    messages: count('Those heads, and all messages that wait behind one, whatever that one does.'),
    ready: count('Rooms whose head waits for a permit of its channel.'),
    notBefore: count('Rooms whose head waits for a later time.'),
    limit: count('Rooms that have been sent as much as they may be for now.'),
    channel: count('Rooms whose channel is stopped or slowed.'),
    paused: count('Rooms that an operator has paused.'),
  }),
  sending: depthSchema,
  awaitingAck: depthSchema,
  backingOff: depthSchema,
  unknown: depthSchema,
  held: depthSchema,
});

const lastMinuteSchema = Type.Object({
  accepted: count('Messages committed by intake.'),
  settled: count('Messages settled, whatever came of them.'),
  failed: count('Of these, failed.'),
});

const parkedSchema = Type.Object(
  {
    rooms: count('Rooms that wait for a missing number.'),
    messages: count('Durable messages without a sequence: they are in no stage yet.'),
  },
  { description: "Ahead of their turn in their publisher's order." },
);

export const wholeSchema = {
  stages: stagesSchema,
  permitQueue: count('Rooms in the permit queues.'),
  lastMinute: Type.Object(lastMinuteSchema.properties, { description: 'In the last 60 s.' }),
};

export const pipelineSchema = Type.Object({
  asOf: integer('When the oldest part of this was counted: engine time, ms since 1970.'),
  complete: flag('Every process and every shard is counted.'),
  missing: Type.Array(
    Type.Object({
      worker: text('Id of the process.'),
      name: text('Its node.'),
      lastSeen: integerOrNull('When it was last counted, ms since 1970; null for never.'),
    }),
    { description: 'Processes that are not counted: they have told nothing for a while, or have lost their lease.' },
  ),
  shards: Type.Object({
    counted: count('Shards that the counted processes hold.'),
    total: count('All shards.'),
  }),
  buffered: Type.Union(
    [
      Type.Object({
        messages: integerOrNull('Messages in the buffer that are not inserted yet; null while Redis is away.'),
        buried: integerOrNull('Entries that were refused too often, and were put aside.'),
        oldestAt: integerOrNull('When the oldest message was buffered, by the clock of Redis; ms since 1970.'),
        unassigned: integerOrNull(
          'Of those messages, the ones that no channel below counts: others wrote them to the streams.',
        ),
      }),
      Type.Null(),
    ],
    { description: 'Null where nothing is buffered, and for a key that is bound to tenants.' },
  ),
  accepting: Type.Union([count('Messages that intake has in memory, before they are durable.'), Type.Null()], {
    description: 'Null for a key that is bound to tenants.',
  }),
  openSends: Type.Union([count('Requests to platforms that are open.'), Type.Null()], {
    description: 'Null for a key that is bound to tenants.',
  }),
  parked: parkedSchema,
  ...wholeSchema,
  channels: Type.Array(
    Type.Object({
      tenant: text('Tenant of the channel.'),
      channel: text('Its name.'),
      buffered: integerOrNull(
        'Messages that were accepted for it into the buffer and are not inserted yet; null where nothing is buffered, and while Redis is away.',
      ),
      accepting: count('Messages for it that intake has in memory, before they are durable.'),
      parked: parkedSchema,
      ...wholeSchema,
    }),
  ),
});
export type PipelineView = Static<typeof pipelineSchema>;

export const lingeringSchema = Type.Object({
  asOf,
  rooms: Type.Array(roomSchema, {
    description:
      'By phase, in each phase those that have been there longest first. Of a recipient: by channel, in each the oldest room first.',
  }),
  unlisted: count('Rooms that linger and are not on the list yet: processes put some hundred on it in a second.'),
  cursor: textOrNull('Ask with ?cursor= this for the next page; null on the last.'),
});
export type LingeringView = Static<typeof lingeringSchema>;

const latencySchema = Type.Object({
  count: count('How many were measured.'),
  p50: Type.Union([Type.Number({ description: 'ms.' }), Type.Null()]),
  p95: Type.Union([Type.Number({ description: 'ms.' }), Type.Null()]),
  p99: Type.Union([Type.Number({ description: 'ms.' }), Type.Null()]),
  counts: Type.Array(Type.Integer(), { description: 'By bucket; further ones are 0.' }),
});

export const chartSchema = Type.Object({
  asOf,
  from: integer('The first point, ms since 1970.'),
  to: integer('The end, ms since 1970.'),
  stepMs: integer('How long each point is.'),
  bucketsMs: Type.Array(Type.Number(), { description: 'Upper bounds of the buckets of latencies, exclusive.' }),
  points: Type.Array(
    Type.Object({
      at: integer('When it began, ms since 1970.'),
      totals: Type.Object(Object.fromEntries(TOTALS.map((total) => [total, count('In this step.')]))),
      latencies: Type.Object(Object.fromEntries(LATENCIES.map((latency) => [latency, latencySchema]))),
    }),
    { description: 'Those in which anything happened.' },
  ),
});
export type ChartView = Static<typeof chartSchema>;

const timelineEventSchema = Type.Object({
  at: integer('ms since 1970.'),
  event: Type.Unsafe<'accepted' | 'attempt_begun' | 'attempt_ended' | 'acked' | 'settled'>({
    type: 'string',
    enum: ['accepted', 'attempt_begun', 'attempt_ended', 'acked', 'settled'],
    description: 'What happened; acked: the highest level that an ack told.',
  }),
  attempt: Type.Optional(integer('Which attempt.')),
  result: Type.Optional(textOrNull('What the attempt came to.')),
  code: Type.Optional(textOrNull("The platform's code.")),
  level: Type.Optional(Type.Unsafe<(typeof ACK_LEVELS)[number]>({ type: 'string', enum: ACK_LEVELS })),
  late: Type.Optional(flag('The ack came after the message had settled without one.')),
  outcome: Type.Optional(text('What became of the message.')),
  reason: Type.Optional(text('Why it settled.')),
});
export type TimelineEvent = Static<typeof timelineEventSchema>;

export const timelineSchema = Type.Object({
  asOf,
  messages: Type.Array(
    Type.Object({
      id: text('Names the message.'),
      sequence: integer('Its number in its room.'),
      messageId: text("The publisher's id."),
      outcome: textOrNull('Null while it is open.'),
      lateFailure: textOrNull('The code of a failure that the platform told after it had settled.'),
      events: Type.Array(timelineEventSchema, { description: 'In the order of their times.' }),
    }),
  ),
  cursor: integerOrNull('Ask with ?cursor= this for the next page; null on the last.'),
});
export type TimelineView = Static<typeof timelineSchema>;

const AT = 1_767_225_600_000;
const depth = { rooms: 0, messages: 0 };
const whole = {
  stages: {
    waiting: { rooms: 1, messages: 3, ready: 1, notBefore: 0, limit: 0, channel: 0, paused: 0 },
    sending: depth,
    awaitingAck: { rooms: 2, messages: 2 },
    backingOff: depth,
    unknown: depth,
    held: depth,
  },
  permitQueue: 1,
  lastMinute: { accepted: 120, settled: 118, failed: 0 },
};
const totals = Object.fromEntries(TOTALS.map((total) => [total, 0]));
const latency = { count: 118, p50: 410, p95: 900, p99: 1_200, counts: [0, 0, 1] };

export const PIPELINE_OPERATIONS: Readonly<Record<string, OperationText>> = {
  'GET /v1/pipeline': {
    operationId: 'getPipeline',
    tag: 'read',
    summary: 'Where messages are: how many in each stage, in all and by channel.',
    example: {
      asOf: AT,
      complete: true,
      missing: [],
      shards: { counted: 4_096, total: 4_096 },
      buffered: { messages: 12, buried: 0, oldestAt: AT - 40, unassigned: 0 },
      accepting: 3,
      openSends: 1,
      parked: { rooms: 1, messages: 2 },
      ...whole,
      channels: [
        {
          tenant: 'default',
          channel: 'support',
          buffered: 12,
          accepting: 3,
          parked: { rooms: 1, messages: 2 },
          ...whole,
        },
      ],
    },
  },
  'GET /v1/rooms': {
    operationId: 'listLingeringRooms',
    tag: 'read',
    summary:
      'Rooms that have been in one phase for more than 2 s, or those of a recipient, with the line that says why they wait.',
    errors: ['id_invalid', 'id_too_long', 'text_nul_or_surrogate'],
    example: { asOf: AT, rooms: [], unlisted: 0, cursor: null },
  },
  'GET /v1/rooms/:channel/:room/timeline': {
    operationId: 'getRoomTimeline',
    tag: 'read',
    summary: 'What happened in a room, message by message.',
    errors: ['room_not_found'],
    example: {
      asOf: AT + 5_000,
      messages: [
        {
          id: 'AAEAAAAAAAEAAQ-x7f3k2',
          sequence: 1,
          messageId: 'order-17',
          outcome: 'acked',
          lateFailure: null,
          events: [
            { at: AT, event: 'accepted' },
            { at: AT + 5, event: 'attempt_begun', attempt: 1 },
            { at: AT + 80, event: 'attempt_ended', attempt: 1, result: 'accepted', code: null },
            { at: AT + 900, event: 'acked', level: 'delivered', late: false },
            { at: AT + 900, event: 'settled', outcome: 'acked', reason: 'ack' },
          ],
        },
      ],
      cursor: null,
    },
  },
  'GET /v1/charts': {
    operationId: 'getChart',
    tag: 'read',
    summary: 'What a channel did, minute by minute: totals and latencies.',
    errors: ['id_invalid', 'id_too_long', 'text_nul_or_surrogate'],
    example: {
      asOf: AT,
      from: AT - 60_000,
      to: AT,
      stepMs: 60_000,
      bucketsMs: [1, 2, 4],
      points: [
        {
          at: AT - 60_000,
          totals,
          latencies: Object.fromEntries(LATENCIES.map((name) => [name, latency])),
        },
      ],
    },
  },
};
