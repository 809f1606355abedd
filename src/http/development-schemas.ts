/** Development mode: what it takes and answers, and what the contract says of it. */
import { type Static, Type } from 'typebox';
import type { OperationText } from './contract.ts';
import { asOf, flag, integer, text, textOrNull } from './schemas.ts';

const closed = { additionalProperties: false } as const;
const share = (description: string) => Type.Number({ minimum: 0, maximum: 1, description });

export const delaySchema = Type.Object(
  {
    medianMs: Type.Number({ minimum: 0, maximum: 600_000, description: 'Half take longer.' }),
    p99Ms: Type.Number({ minimum: 0, maximum: 600_000, description: 'One in a hundred takes longer.' }),
  },
  closed,
);
export type DelayKnob = Static<typeof delaySchema>;

/** Shares are of messages, drawn for each by itself. */
const shares = {
  ackLoss: share('Messages that arrive and of which no status is ever told.'),
  refusals: share('Attempts that are refused with 429: not now.'),
  serverErrors: share('Attempts that are answered 503 and not taken.'),
  lostAnswers: share('Attempts that are taken, and whose connection breaks before the answer.'),
};

export const knobsSchema = Type.Object({
  responseDelay: Type.Union([delaySchema, Type.Null()], {
    description: 'How long the platform takes to answer; null: drawn in another way.',
  }),
  phoneDelay: Type.Union([delaySchema, Type.Null()], {
    description: 'From acceptance to arrival at the phone; null: drawn in another way.',
  }),
  ...shares,
  phonesOnline: flag('False: phones are off, and get what was accepted when they are on again.'),
});
export type PlatformKnobs = Static<typeof knobsSchema>;

export const OUTAGE_KINDS = ['refuse', 'reset', 'black_hole', 'crawl', 'server_error'] as const;
const outageKind = Type.Unsafe<(typeof OUTAGE_KINDS)[number]>({
  type: 'string',
  enum: [...OUTAGE_KINDS],
  description:
    'refuse: the port is closed; reset: requests are read and cut; black_hole: they are swallowed; crawl: answers take 30 s longer; server_error: 503.',
});

export const platformViewSchema = Type.Object({
  asOf,
  knobs: Type.Object({ ...knobsSchema.properties }, { description: 'Of channels that have no other ones.' }),
  channels: Type.Array(
    Type.Object({ channel: text('Its name at the platform.'), knobs: knobsSchema }, { description: 'As they hold.' }),
  ),
  outages: Type.Array(
    Type.Object({
      kind: text('What kind of outage.'),
      channel: textOrNull('The one it is of; null for the whole platform.'),
    }),
    { description: 'Those that are going on.' },
  ),
  totals: Type.Object(
    {
      requests: integer('Requests.'),
      accepted: integer('Messages accepted.'),
      refused: integer('Requests refused.'),
      shown: integer('Messages shown on phones.'),
      dropped: integer('Messages that never reach their phones.'),
    },
    { description: 'Since the platform began.' },
  ),
});
export type PlatformView = Static<typeof platformViewSchema>;

export const platformPatchSchema = Type.Object(
  {
    channel: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: 'Only this one; all without it.' })),
    knobs: Type.Optional(
      Type.Object(
        {
          responseDelay: Type.Optional(delaySchema),
          phoneDelay: Type.Optional(delaySchema),
          ackLoss: Type.Optional(shares.ackLoss),
          refusals: Type.Optional(shares.refusals),
          serverErrors: Type.Optional(shares.serverErrors),
          lostAnswers: Type.Optional(shares.lostAnswers),
          phonesOnline: Type.Optional(knobsSchema.properties.phonesOnline),
        },
        { ...closed, description: 'What is not given stays.' },
      ),
    ),
    outage: Type.Optional(
      Type.Union(
        [
          Type.Object(
            {
              kind: outageKind,
              forMs: Type.Optional(
                Type.Integer({ minimum: 1, maximum: 3_600_000, description: 'Its length; until ended without it.' }),
              ),
            },
            closed,
          ),
          Type.Null(),
        ],
        { description: 'Begins one, beside those that go on; null ends all.' },
      ),
    ),
  },
  closed,
);
export type PlatformPatch = Static<typeof platformPatchSchema>;

export const resetRequestSchema = Type.Object(
  { database: Type.String({ minLength: 1, maxLength: 63, description: 'The name of the database: a confirmation.' }) },
  closed,
);

export const resetSchema = Type.Object({ database: text('The database that was emptied.') });

export const developmentSchema = Type.Object({
  enabled: flag('The process is in development mode.'),
  database: textOrNull('The name of its database; null outside development mode.'),
  platform: flag('A fake platform is there to be changed.'),
});
export type DevelopmentView = Static<typeof developmentSchema>;

const knobs = {
  responseDelay: { medianMs: 60, p99Ms: 300 },
  phoneDelay: { medianMs: 600, p99Ms: 4_000 },
  ackLoss: 0.12,
  refusals: 0,
  serverErrors: 0,
  lostAnswers: 0,
  phonesOnline: true,
};
const view = {
  asOf: 1_767_225_600_000,
  knobs,
  channels: [{ channel: 'demo', knobs }],
  outages: [{ kind: 'black_hole', channel: null }],
  totals: { requests: 10, accepted: 9, refused: 1, shown: 9, dropped: 0 },
};
const platformErrors = ['development_disabled', 'development_platform_missing'] as const;

export const DEVELOPMENT_OPERATIONS: Readonly<Record<string, OperationText>> = {
  'GET /v1/development': {
    operationId: 'getDevelopment',
    tag: 'operate',
    summary: 'Whether the process is in development mode.',
    example: { enabled: true, database: 'roomline', platform: true },
  },
  'POST /v1/development/reset': {
    operationId: 'resetDatabase',
    tag: 'operate',
    summary: 'Development mode only: deletes all rooms, messages, dead letters, failures and charts.',
    errors: ['development_disabled', 'reset_unconfirmed', 'reset_not_permitted'],
    body: { schema: resetRequestSchema, example: { database: 'roomline' } },
    example: { database: 'roomline' },
  },
  'GET /v1/development/platform': {
    operationId: 'getFakePlatform',
    tag: 'operate',
    summary: 'Development mode only: how the fake platform behaves.',
    errors: platformErrors,
    example: view,
  },
  'PATCH /v1/development/platform': {
    operationId: 'changeFakePlatform',
    tag: 'operate',
    summary: 'Development mode only: changes how the fake platform behaves.',
    errors: platformErrors,
    body: {
      schema: platformPatchSchema,
      example: { knobs: { ackLoss: 0.5 }, outage: { kind: 'black_hole', forMs: 5_000 } },
    },
    example: view,
  },
};
