import { Ajv, type ErrorObject } from 'ajv';
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { Delay, delayComplaint } from './delay.ts';
import { senderQueue } from './sender-queue.ts';
import { mediaKnobs } from './uploads.ts';
import { defaultWebhookKnobs, WebhookKnobs } from './webhook-knobs.ts';

/**
 * Every knob of the fake platform: its schema is the type, the validator and the documentation of what is allowed.
 * Times are milliseconds, probabilities lie in [0, 1].
 */
const strict = { additionalProperties: false } as const;
const Probability = Type.Number({ minimum: 0, maximum: 1 });
const Milliseconds = Type.Number({ minimum: 0 });
const Scope = Type.Union([
  Type.Literal('message'),
  Type.Literal('room'),
  Type.Literal('channel'),
  Type.Literal('account'),
]);

/** A discriminated union that reports the complaint of the chosen branch only. */
const oneOfKind = <T extends Type.TObject[]>(branches: [...T]) =>
  Type.Unsafe<Static<T[number]>>({
    type: 'object',
    required: ['kind'],
    discriminator: { propertyName: 'kind' },
    oneOf: branches,
  });

const Refusal = Type.Object(
  {
    status: Type.Integer({ minimum: 200, maximum: 599 }),
    /** No `error` object at all: only the HTTP status speaks. */
    bare: Type.Optional(Type.Boolean()),
    code: Type.Optional(Type.String({ minLength: 1 })),
    scope: Type.Optional(Scope),
    permanent: Type.Optional(Type.Boolean()),
    processed: Type.Optional(Type.Boolean()),
    message: Type.Optional(Type.String()),
    retryAfterMs: Type.Optional(Milliseconds),
    /** Where `retryAfterMs` is told; `unreadable` sends a header that is neither a number nor a date. */
    retryAfterIn: Type.Optional(
      Type.Union([
        Type.Literal('none'),
        Type.Literal('header'),
        Type.Literal('date'),
        Type.Literal('body'),
        Type.Literal('both'),
        Type.Literal('unreadable'),
      ]),
    ),
  },
  strict,
);
export type Refusal = Static<typeof Refusal>;

const drawn = {
  probability: Probability,
  /** Only the first so many attempts of a message can be hit. */
  attempts: Type.Optional(Type.Integer({ minimum: 1 })),
};

/** One way in which a send goes wrong. Faults are tried in the order of their names; the first that strikes counts. */
export const Fault = oneOfKind([
  Type.Object({ kind: Type.Literal('refuse'), ...drawn, ...Refusal.properties }, strict),
  Type.Object(
    {
      kind: Type.Literal('server_error'),
      ...drawn,
      status: Type.Integer({ minimum: 500, maximum: 599 }),
      when: Type.Union([Type.Literal('before_acceptance'), Type.Literal('after_acceptance')]),
      body: Type.Optional(Type.Union([Type.Literal('json'), Type.Literal('html'), Type.Literal('empty')])),
    },
    strict,
  ),
  Type.Object(
    {
      kind: Type.Literal('reset'),
      ...drawn,
      when: Type.Union([
        Type.Literal('before_read'),
        Type.Literal('after_read'),
        Type.Literal('after_acceptance'),
        Type.Literal('mid_response'),
      ]),
    },
    strict,
  ),
  /** Accepted, answered 200, but the JSON ends in the middle. */
  Type.Object({ kind: Type.Literal('truncate'), ...drawn }, strict),
  /** No answer: the connection stays open until the client gives up, or for `forMs`. */
  Type.Object(
    {
      kind: Type.Literal('silence'),
      ...drawn,
      when: Type.Union([Type.Literal('before_acceptance'), Type.Literal('after_acceptance')]),
      forMs: Type.Optional(Milliseconds),
    },
    strict,
  ),
  /** The network holds the request: it takes effect so much later, whether or not the client still waits. */
  Type.Object({ kind: Type.Literal('hold_request'), ...drawn, delayMs: Delay }, strict),
]);
export type Fault = Static<typeof Fault>;

const StatusTiming = Type.Object(
  {
    /** How many messages ever reach this status. */
    probability: Probability,
    /** After acceptance (`sent`) or after the phone showed the message (`delivered`, `read`). */
    delayMs: Delay,
    /** The status is reached, but its webhook is never sent. */
    lossProbability: Probability,
  },
  strict,
);

export const MessageKnobs = Type.Object(
  {
    send: Type.Object(
      {
        responseDelayMs: Delay,
        /** Whether the answer carries `acceptedAt`. */
        acceptedAt: Type.Boolean(),
        /** The user wrote lately: what is free-form may be sent, where the platform asks for that. */
        windowOpen: Type.Boolean(),
        idStyle: Type.Union([
          Type.Literal('short'),
          Type.Literal('uuid'),
          Type.Literal('integer'),
          Type.Literal('longest'),
        ]),
        faults: Type.Record(Type.String({ minLength: 1 }), Fault),
      },
      strict,
    ),
    phone: Type.Object(
      {
        /** From acceptance to arrival; the phone shows messages in the order of arrival. */
        delayMs: Delay,
        media: Type.Object({ extraDelayMs: Delay, longTextLength: Type.Integer({ minimum: 1 }) }, strict),
        online: Type.Boolean(),
        /** Alternates between online and offline, each recipient at a phase of its own; null: always as `online` says. */
        flapping: Type.Union([
          Type.Null(),
          Type.Object(
            { onlineMs: Type.Number({ exclusiveMinimum: 0 }), offlineMs: Type.Number({ exclusiveMinimum: 0 }) },
            strict,
          ),
        ]),
        offlineTtlMs: Milliseconds,
        onExpiry: Type.Union([Type.Literal('drop'), Type.Literal('fail')]),
      },
      strict,
    ),
    status: Type.Object(
      {
        /** How a status names its message. */
        named: Type.Union([Type.Literal('both'), Type.Literal('reference'), Type.Literal('id')]),
        /** `cumulative` and `watermark` apply to delivered and read, and only claim what is true. */
        form: Type.Union([Type.Literal('each'), Type.Literal('cumulative'), Type.Literal('watermark')]),
        /** `equal`: all statuses of a message carry the time of its acceptance. */
        timestamps: Type.Union([
          Type.Literal('right'),
          Type.Literal('none'),
          Type.Literal('seconds'),
          Type.Literal('equal'),
        ]),
        clockSkewMs: Type.Number(),
        sent: StatusTiming,
        /** `sent` tells that a message has arrived: it follows the phone, not the acceptance. */
        sentOnArrival: Type.Boolean(),
        delivered: StatusTiming,
        read: StatusTiming,
        /** No status of the message is ever sent. */
        loseAllProbability: Probability,
        /** The named statuses are posted before the send is answered; the answer waits for them, at most `holdMs`. */
        early: Type.Object(
          {
            probability: Probability,
            statuses: Type.Array(Type.Union([Type.Literal('sent'), Type.Literal('delivered'), Type.Literal('read')]), {
              uniqueItems: true,
            }),
            holdMs: Milliseconds,
          },
          strict,
        ),
        late: Type.Object({ probability: Probability, delayMs: Delay }, strict),
        duplicate: Type.Object(
          {
            probability: Probability,
            copies: Type.Integer({ minimum: 1, maximum: 1_000 }),
            gapMs: Delay,
            /** Each copy in a call of its own, all at once. */
            concurrent: Type.Boolean(),
          },
          strict,
        ),
        /** The highest status is sent first, the lower ones after it. */
        outOfOrder: Type.Object({ probability: Probability, gapMs: Milliseconds }, strict),
        /** `sent` is repeated after the last status. */
        regress: Type.Object({ probability: Probability, gapMs: Milliseconds }, strict),
        /** `failed` after `delivered`, or `delivered` after `failed`. */
        contradiction: Type.Object({ probability: Probability, gapMs: Milliseconds }, strict),
        /** Accepted, then reported as failed; never reaches the phone. */
        failure: Type.Object(
          {
            probability: Probability,
            delayMs: Delay,
            code: Type.String({ minLength: 1 }),
            scope: Scope,
            permanent: Type.Boolean(),
            lossProbability: Probability,
          },
          strict,
        ),
      },
      strict,
    ),
  },
  strict,
);
export type MessageKnobs = Static<typeof MessageKnobs>;

const Limit = Type.Union([
  Type.Null(),
  Type.Object(
    {
      ratePerSecond: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
      burst: Type.Optional(Type.Integer({ minimum: 1 })),
      /** Requests open at once. */
      concurrency: Type.Optional(Type.Integer({ minimum: 1 })),
      /** Without `retryAfterMs` the wait is computed from the rate. */
      refusal: Refusal,
    },
    strict,
  ),
]);
export type Limit = Static<typeof Limit>;

export const ChannelKnobs = Type.Object(
  {
    limit: Limit,
    /** What one channel may send to one recipient. */
    pairLimit: Limit,
    /** What one channel may send of content that the platform counts apart, such as audio and video. */
    heavyLimit: Limit,
    /** What one channel may send to one group of users, beside `pairLimit`. */
    groupLimit: Limit,
    /** Messages to one recipient that are accepted and not answered: with so many, a call is held, then refused. */
    unsent: Type.Union([
      Type.Null(),
      Type.Object({ most: Type.Integer({ minimum: 1 }), holdMs: Milliseconds, refusal: Refusal }, strict),
    ]),
    queue: senderQueue(Refusal),
    media: mediaKnobs(Refusal),
    request: Type.Object(
      {
        maxBodyBytes: Type.Integer({ minimum: 1 }),
        /** Refuse requests that lack roomline-attempt, roomline-worker or roomline-generation. */
        requireRoomlineHeaders: Type.Boolean(),
        /** Obey `@@{ … }@@` in content.text, a partial set of message knobs. */
        markers: Type.Boolean(),
      },
      strict,
    ),
    idempotency: Type.Object({ enabled: Type.Boolean(), ttlMs: Milliseconds }, strict),
    lookup: Type.Object(
      {
        enabled: Type.Boolean(),
        delayMs: Delay,
        /** A message is found only so long after its acceptance … */
        lagMs: Milliseconds,
        /** … and forgotten after this time (but not before idempotency's `ttlMs`). */
        retentionMs: Milliseconds,
      },
      strict,
    ),
    webhooks: WebhookKnobs,
  },
  strict,
);
export type ChannelKnobs = Static<typeof ChannelKnobs>;

/** A partial set of knobs laid over a full one; checked by laying it over the defaults. */
const Overlay = Type.Record(Type.String(), Type.Unknown());

const Channel = Type.Object(
  {
    /** Without a token every bearer token that belongs to no other channel is accepted. */
    token: Type.Optional(Type.String({ minLength: 1 })),
    revoked: Type.Optional(Type.Boolean()),
    account: Type.Optional(Type.String({ minLength: 1 })),
    /** Without one, statuses are only written to the ground truth. */
    webhook: Type.Optional(
      Type.Object(
        {
          /** Several replicas are used in turn. */
          urls: Type.Array(Type.String({ pattern: '^http://' }), { minItems: 1 }),
          secret: Type.String({ minLength: 1 }),
          previousSecret: Type.Optional(Type.String({ minLength: 1 })),
        },
        strict,
      ),
    ),
    knobs: Type.Optional(Overlay),
    message: Type.Optional(Overlay),
    /** What the platform tells of sender, token and account when it is asked; laid over what the profile tells. */
    about: Type.Optional(Overlay),
  },
  strict,
);

export const Rule = Type.Object(
  {
    match: Type.Object(
      {
        channel: Type.Optional(Type.String()),
        account: Type.Optional(Type.String()),
        to: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())])),
        /** The nth message to this recipient, from 1; or every so many, from `from` to `until`. */
        nth: Type.Optional(
          Type.Union([
            Type.Integer({ minimum: 1 }),
            Type.Object(
              {
                every: Type.Optional(Type.Integer({ minimum: 1 })),
                from: Type.Optional(Type.Integer({ minimum: 1 })),
                until: Type.Optional(Type.Integer({ minimum: 1 })),
              },
              strict,
            ),
          ]),
        ),
        textIncludes: Type.Optional(Type.String({ minLength: 1 })),
        /** Drawn once per message. */
        probability: Type.Optional(Probability),
        /** Since the platform's start. */
        fromMs: Type.Optional(Milliseconds),
        untilMs: Type.Optional(Milliseconds),
      },
      strict,
    ),
    message: Overlay,
  },
  strict,
);
export type Rule = Static<typeof Rule>;

export const Settings = Type.Object(
  {
    message: MessageKnobs,
    channel: ChannelKnobs,
    channels: Type.Record(Type.String({ minLength: 1 }), Channel),
    /** Of every account that has no limit of its own. */
    account: Type.Object({ limit: Limit }, strict),
    accounts: Type.Record(
      Type.String({ minLength: 1 }),
      Type.Object({ limit: Type.Optional(Limit), message: Type.Optional(Overlay) }, strict),
    ),
    recipients: Type.Record(Type.String({ minLength: 1 }), Overlay),
    rules: Type.Array(Rule),
    http: Type.Object(
      {
        keepAliveMs: Type.Integer({ minimum: 1 }),
        maxRequestsPerConnection: Type.Integer({ minimum: 0 }),
        maxConnections: Type.Integer({ minimum: 1 }),
        /** Share of answers that carry `connection: close`. */
        closeProbability: Probability,
      },
      strict,
    ),
  },
  strict,
);
export type Settings = Static<typeof Settings>;

/** A partial value of the same shape; `null` removes an entry of a map. */
export type Patch<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { [K in keyof T]?: Patch<T[K]> | null | undefined }
    : T;
export type SettingsPatch = Patch<Settings>;
export type MessagePatch = Patch<MessageKnobs>;
export type ChannelPatch = Patch<ChannelKnobs>;

export const defaultSettings: Settings = {
  message: {
    send: {
      responseDelayMs: { kind: 'lognormal', medianMs: 150, p99Ms: 1_500 },
      acceptedAt: true,
      windowOpen: true,
      idStyle: 'short',
      faults: {},
    },
    phone: {
      delayMs: { kind: 'lognormal', medianMs: 600, p99Ms: 4_000 },
      media: { extraDelayMs: { kind: 'lognormal', medianMs: 1_500, p99Ms: 8_000 }, longTextLength: 1_000 },
      online: true,
      flapping: null,
      offlineTtlMs: 3_600_000,
      onExpiry: 'drop',
    },
    status: {
      named: 'both',
      form: 'each',
      timestamps: 'right',
      clockSkewMs: 0,
      sent: { probability: 1, delayMs: { kind: 'lognormal', medianMs: 300, p99Ms: 1_500 }, lossProbability: 0 },
      sentOnArrival: false,
      delivered: { probability: 1, delayMs: 0, lossProbability: 0 },
      read: { probability: 0, delayMs: { kind: 'lognormal', medianMs: 60_000, p99Ms: 600_000 }, lossProbability: 0 },
      loseAllProbability: 0,
      early: { probability: 0, statuses: ['sent', 'delivered'], holdMs: 500 },
      late: { probability: 0, delayMs: 30_000 },
      duplicate: { probability: 0, copies: 1, gapMs: 100, concurrent: false },
      outOfOrder: { probability: 0, gapMs: 20 },
      regress: { probability: 0, gapMs: 20 },
      contradiction: { probability: 0, gapMs: 50 },
      failure: {
        probability: 0,
        delayMs: 500,
        code: 'undeliverable',
        scope: 'message',
        permanent: true,
        lossProbability: 0,
      },
    },
  },
  channel: {
    limit: null,
    pairLimit: null,
    heavyLimit: null,
    groupLimit: null,
    unsent: null,
    queue: null,
    media: { uploadDelayMs: 0, idLifeMs: 2_592_000_000, uploadRefusal: null, linkDelayMs: 0 },
    request: { maxBodyBytes: 262_144, requireRoomlineHeaders: true, markers: true },
    idempotency: { enabled: false, ttlMs: 86_400_000 },
    lookup: { enabled: true, delayMs: 0, lagMs: 0, retentionMs: 3_600_000 },
    webhooks: defaultWebhookKnobs,
  },
  channels: { default: {} },
  account: { limit: null },
  accounts: {},
  recipients: {},
  rules: [],
  http: { keepAliveMs: 60_000, maxRequestsPerConnection: 0, maxConnections: 10_000, closeProbability: 0 },
};

/** Everything at once and nothing goes wrong: for load tests, and for tests that turn single knobs. */
export const instant: SettingsPatch = {
  message: {
    send: { responseDelayMs: 0 },
    phone: { delayMs: 0, media: { extraDelayMs: 0 } },
    status: { sent: { delayMs: 0 }, delivered: { delayMs: 0 }, read: { delayMs: 0 } },
  },
};

/** Says which knob is unknown or out of range, and why. */
export class SettingsError extends Error {
  override name = 'SettingsError';
}

const ajv = new Ajv({ allErrors: false, discriminator: true, strict: false });
const validSettings = ajv.compile(Settings);
const validMessage = ajv.compile(MessageKnobs);
const validChannel = ajv.compile(ChannelKnobs);

const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Lays `patch` over `base`. Arrays, and objects that carry a `kind` (delays, faults), are replaced whole. */
export const overlay = <T>(base: T, patch: unknown): T => {
  if (!isPlain(base) || !isPlain(patch) || 'kind' in patch) return patch as T;
  const result: Record<string, unknown> = Object.assign(Object.create(null), base);
  for (const [name, value] of Object.entries(patch)) {
    if (value === undefined) continue;
    // null is a value where the base says so (no limit, no flapping), and otherwise removes the entry.
    if (value === null && !NULLABLE.has(name)) delete result[name];
    else result[name] = name in result ? overlay(result[name], value) : value;
  }
  return { ...result } as T;
};
const NULLABLE = new Set([
  ...['limit', 'pairLimit', 'heavyLimit', 'groupLimit', 'unsent', 'unsubscribe', 'queue', 'flapping', 'uploadRefusal'],
]);

const describe = (where: string, errors: ErrorObject[] | null | undefined): string => {
  const error = errors?.at(-1)?.keyword === 'anyOf' ? errors.at(-1) : errors?.[0];
  if (!error) return `${where}: invalid`;
  const path = `${where}${error.instancePath}`.replace(/^\//, '') || 'settings';
  if (error.keyword === 'additionalProperties') return `${path}: unknown knob "${error.params.additionalProperty}"`;
  if (error.keyword === 'discriminator') return `${path}: unknown kind "${String(error.params.tagValue)}"`;
  if (error.keyword === 'anyOf') return `${path}: is none of the allowed forms`;
  return `${path}: ${error.message ?? 'invalid'}`;
};

const checkDelays = (where: string, value: unknown): void => {
  if (Array.isArray(value)) {
    for (const [index, entry] of value.entries()) checkDelays(`${where}/${index}`, entry);
  } else if (isPlain(value)) {
    const complaint = delayComplaint(value);
    if (complaint) throw new SettingsError(`${where.replace(/^\//, '')}: ${complaint}`);
    for (const [name, entry] of Object.entries(value)) checkDelays(`${where}/${name}`, entry);
  }
};

/** The full message knobs that `patch` makes of `base`. Throws SettingsError. */
export const layMessage = (where: string, base: MessageKnobs, patch: unknown): MessageKnobs => {
  const result = overlay(base, patch);
  if (!validMessage(result)) throw new SettingsError(describe(where, validMessage.errors));
  checkDelays(where, result);
  return result;
};

/** The full channel knobs that `patch` makes of `base`. Throws SettingsError. */
export const layChannel = (where: string, base: ChannelKnobs, patch: unknown): ChannelKnobs => {
  const result = overlay(base, patch);
  if (!validChannel(result)) throw new SettingsError(describe(where, validChannel.errors));
  checkDelays(where, result);
  const { minSize, maxSize } = result.webhooks.batch;
  if (maxSize < minSize) throw new SettingsError(`${where}/webhooks/batch: maxSize must be >= minSize`);
  return result;
};

/** Settings after a change, checked as a whole, all partial sets included. The given ones are left as they are. Throws SettingsError. */
export const changeSettings = (base: Settings, patch: SettingsPatch): Settings => {
  if (!isPlain(patch)) throw new SettingsError('settings: must be an object');
  const result = overlay(base, patch);
  if (!validSettings(result)) throw new SettingsError(describe('', validSettings.errors));
  checkDelays('', result);
  layChannel('channel', result.channel, {});
  for (const [name, channel] of Object.entries(result.channels)) {
    layChannel(`channels/${name}/knobs`, result.channel, channel.knobs ?? {});
    layMessage(`channels/${name}/message`, result.message, channel.message ?? {});
  }
  for (const [name, account] of Object.entries(result.accounts)) {
    layMessage(`accounts/${name}/message`, result.message, account.message ?? {});
  }
  for (const [to, knobs] of Object.entries(result.recipients)) {
    layMessage(`recipients/${to}`, result.message, knobs);
  }
  for (const [index, rule] of result.rules.entries()) {
    layMessage(`rules/${index}/message`, result.message, rule.message);
  }
  return result;
};
