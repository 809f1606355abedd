/** What the live feed sends, as schemas, and what the contract says of it. */
import { type Static, Type } from 'typebox';
import { TOTALS } from '../engine/tallies.ts';
import { ACK_LEVELS, OUTCOMES } from '../room/room.ts';
import { CHANNEL_STATES } from '../telemetry.ts';
import type { OperationText } from './contract.ts';
import { wholeSchema } from './pipeline-schemas.ts';
import { flag, integer, integerOrNull, text, textOrNull } from './schemas.ts';

/** Kinds of events that a reader asks for; the others are of the feed itself. */
export const LIVE_EVENTS = ['totals', 'settled', 'failed'] as const;
export type LiveEventName = (typeof LIVE_EVENTS)[number];

const oneOf = <const T extends readonly string[]>(values: T, description: string) =>
  Type.Unsafe<T[number]>({ type: 'string', enum: values, description });
const count = (description: string) => Type.Integer({ minimum: 0, description });
const numberOrNull = (description: string) => Type.Unsafe<number | null>({ type: ['number', 'null'], description });
const id = (description: string) => Type.Optional(Type.String({ minLength: 1, maxLength: 256, description }));

export const liveQuery = Type.Object(
  {
    tenant: id('Of this tenant only. All that the key may see by default; with a channel, "default".'),
    channel: id('Of this channel only.'),
    room: id('Settled and failed messages of this room only; with a channel. Totals are those of the channel.'),
    events: Type.Optional(
      Type.String({
        maxLength: 64,
        pattern: '^(totals|settled|failed)(,(totals|settled|failed)){0,2}$',
        description: `Separated by commas: ${LIVE_EVENTS.join(', ')}. All by default.`,
      }),
    ),
  },
  { additionalProperties: false },
);
export type LiveFilter = Static<typeof liveQuery>;

// ------------------------------------------------------------------------------------------------------------- totals

const gapSchema = Type.Object(
  {
    count: count('Sends that followed an ack.'),
    p50: numberOrNull('ms; null where there were none.'),
    p99: numberOrNull('ms; null where there were none.'),
  },
  { description: 'From the receipt of the ack of n to the first byte of n+1, in this interval.' },
);

/** What happened in one interval, and how much is where at its end. */
const liveWholeSchema = {
  ...wholeSchema,
  counts: Type.Object(
    Object.fromEntries(TOTALS.map((total) => [total, count('In this interval.')])) as Record<
      (typeof TOTALS)[number],
      ReturnType<typeof count>
    >,
    { description: 'In this interval; acked: order proven, assumed: order assumed. 0 each in the first.' },
  ),
  acceptedPerSecond: Type.Number({ description: 'Messages that intake committed, per second of this interval.' }),
  sentPerSecond: Type.Number({ description: 'Attempts begun, likewise.' }),
  settledPerSecond: Type.Number({ description: 'Messages settled, whatever came of them, likewise.' }),
  ackRate: numberOrNull('acked / (acked + assumed) of this interval, 0 to 1; null where nothing was either.'),
  gapMs: gapSchema,
};

export const liveTotalsSchema = Type.Object({
  asOf: integer('When the oldest part of this was counted: engine time, ms since 1970.'),
  intervalMs: integerOrNull('What the counts are of; null in the first after somebody began to listen.'),
  complete: flag('The processes that are counted hold all shards.'),
  processes: count('Processes that are counted.'),
  shards: Type.Object({ counted: count('Shards that they hold.'), total: count('All shards.') }),
  accepting: Type.Union([count('Messages that intake has in memory, before they are durable.'), Type.Null()], {
    description: 'Null for a key that is bound to tenants.',
  }),
  openSends: Type.Union([count('Requests to platforms that are open.'), Type.Null()], {
    description: 'Null for a key that is bound to tenants.',
  }),
  ...liveWholeSchema,
  channels: Type.Array(
    Type.Object({
      tenant: text('Tenant of the channel.'),
      channel: text('Its name.'),
      state: oneOf(CHANNEL_STATES, 'The worst that any process sees: stopped, slowed, ack_outage, open.'),
      reason: textOrNull('Why it is not open.'),
      until: integerOrNull('When it is tried again, where that is known, ms since 1970.'),
      ackTimeoutMs: integer('How long a message accepted now waits for its ack.'),
      ...liveWholeSchema,
    }),
    { description: 'By tenant and name.' },
  ),
});
export type LiveTotals = Static<typeof liveTotalsSchema>;

// ----------------------------------------------------------------------------------------------------------- messages

const settlementFields = {
  id: text('Names the message: GET /v1/messages/{id}.'),
  tenant: text('Tenant of the room.'),
  channel: text('Channel of the room.'),
  room: text('The room.'),
  sequence: integer('Its number in its room.'),
  messageId: textOrNull("The publisher's id; null where the process that settled it did not know it."),
  outcome: oneOf(OUTCOMES, 'What became of it.'),
  reason: text('Why it settled.'),
  order: Type.Unsafe<'proven' | 'assumed' | null>({
    type: ['string', 'null'],
    enum: ['proven', 'assumed', null],
    description: 'Proven by an ack, or assumed without one; null for one that did not reach the platform.',
  }),
  level: oneOf(ACK_LEVELS, 'The highest ack level seen.'),
  code: textOrNull("The platform's last code."),
  attempts: count('How often it was sent.'),
  possiblyDelivered: flag('It was not acked and may have reached the platform all the same.'),
  late: flag('It had settled otherwise; the platform told the failure afterwards.'),
  at: integer('When it settled, or when the late failure was recorded: engine time, ms since 1970.'),
};
export const liveSettlementSchema = Type.Object(settlementFields);
export type LiveSettlement = Static<typeof liveSettlementSchema>;

// ------------------------------------------------------------------------------------------------------- of the feed

const link = Type.Object({ what: text('What it answers.'), href: text('Where to ask.') });

export const liveReadySchema = Type.Object({
  asOf: integer('Engine time, ms since 1970: events from here on are told.'),
  filter: Type.Object({
    tenant: textOrNull('Null: all that the key may see.'),
    channel: textOrNull('Null: all.'),
    room: textOrNull('Null: all.'),
    events: Type.Array(oneOf(LIVE_EVENTS, 'A kind of events.')),
  }),
  reach: oneOf(['fleet', 'process'], 'Events of all processes, or, without Redis or while it is away, of this one.'),
  intervalMs: integer('How often totals come.'),
  heartbeatMs: integer('Something comes at least this often; who hears nothing for twice as long connects anew.'),
  missed: Type.Union(
    [
      Type.Object({
        since: integer('The Last-Event-ID that was given: engine time, ms since 1970.'),
        note: text('What that means.'),
        catchUp: Type.Array(link),
      }),
      Type.Null(),
    ],
    { description: 'What happened from the Last-Event-ID up to now is not repeated here; null where none was given.' },
  ),
});
export type LiveReady = Static<typeof liveReadySchema>;

export const DROP_REASONS = ['slow_reader', 'busy', 'interrupted'] as const;
export const liveDroppedSchema = Type.Object({
  at: integer('Engine time, ms since 1970.'),
  count: integerOrNull('At most so many events are missing here; null where that is not known.'),
  reason: oneOf(
    DROP_REASONS,
    'slow_reader: you took them too slowly. busy: there were more than a process passes on. interrupted: the way between the processes was.',
  ),
});
export type LiveDropped = Static<typeof liveDroppedSchema>;

export const liveHeartbeatSchema = Type.Object({ at: integer('Engine time, ms since 1970.') });

export const liveClosingSchema = Type.Object({
  reason: oneOf(['stopping', 'renew'], 'The process stops; or an hour is over, and the key is to be shown again.'),
  retryAfterMs: integer('Connect anew after that.'),
});
export type LiveClosing = Static<typeof liveClosingSchema>;

const DATA = {
  ready: liveReadySchema,
  totals: liveTotalsSchema,
  settled: liveSettlementSchema,
  failed: liveSettlementSchema,
  dropped: liveDroppedSchema,
  heartbeat: liveHeartbeatSchema,
  closing: liveClosingSchema,
} as const;

/** What the feed consists of; `event` tells which. */
export type LiveEvent = { [K in keyof typeof DATA]: LiveEventOf<K> }[keyof typeof DATA];
export interface LiveEventOf<K extends keyof typeof DATA> {
  readonly event: K;
  /** For `Last-Event-ID`: engine time. */
  readonly id: string;
  readonly data: Static<(typeof DATA)[K]>;
}

export const liveEventSchema = Type.Unsafe<LiveEvent>({
  description:
    'ready comes first. settled: a message settled as anything but failed. failed: it failed, or the platform reported so later. dropped: events are missing here.',
  oneOf: Object.entries(DATA).map(([event, data]) =>
    Type.Object({
      event: Type.Literal(event),
      id: text('For Last-Event-ID: engine time, ms since 1970.'),
      data,
    }),
  ),
});

export const liveSocketSchema = Type.Array(liveEventSchema, { description: 'One message of the WebSocket.' });

// ----------------------------------------------------------------------------------------------------------- contract

const AT = 1_767_225_600_000;
const settlement: LiveSettlement = {
  id: 'AAEAAAAAAAEAAQ-x7f3k2',
  tenant: 'default',
  channel: 'support',
  room: 'r-1',
  sequence: 1,
  messageId: 'order-17',
  outcome: 'acked',
  reason: 'ack',
  order: 'proven',
  level: 'delivered',
  code: null,
  attempts: 1,
  possiblyDelivered: false,
  late: false,
  at: AT,
};

export const LIVE_OPERATIONS: Readonly<Record<string, OperationText>> = {
  'GET /v1/live': {
    operationId: 'live',
    tag: 'read',
    summary: 'What happens now, as server-sent events: totals every 500 ms, and messages as they settle or fail.',
    errors: ['id_too_long', 'id_invalid', 'text_nul_or_surrogate'],
    headers: {
      'Last-Event-ID': {
        type: 'string',
        pattern: '^[0-9]{1,15}$',
        description: 'Of the last event that came: the first one tells how to catch up. Nothing is repeated.',
      },
    },
    produces: 'text/event-stream',
    example: { event: 'settled', id: String(AT), data: settlement },
  },
  'GET /v1/live/socket': {
    operationId: 'liveSocket',
    tag: 'read',
    summary: 'The same as a WebSocket; each message is an array of events.',
    errors: ['upgrade_required', 'id_too_long', 'id_invalid', 'text_nul_or_surrogate'],
    headers: {
      Authorization: {
        type: 'string',
        description: 'Or the key as the first message, within 5 s: {"key":"rl_…","lastEventId":"…"}.',
      },
    },
    produces: 'application/json',
    example: [{ event: 'settled', id: String(AT), data: settlement }],
  },
};
