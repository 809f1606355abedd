/**
 * Every setting: its type, its rule and what it is for. Units are part of the names. Defaults are values and live in
 * `config/default.json`. `docs/configuration.md` is rendered from here.
 */
import { type Static, type TObject, type TOptional, type TProperties, type TSchema, Type } from 'typebox';
import { API_VERSION, PLATFORM_NAMES, platformSettings } from './platforms.ts';
import type { Secret } from './secret.ts';

const MAX_INTEGER = 2_147_483_647;
const DAY_MS = 86_400_000;
const NAME_PATTERN = '^[A-Za-z0-9._-]{1,64}$';

function section<P extends TProperties>(description: string, properties: P) {
  return Type.Object(properties, { additionalProperties: false, description });
}

function text(description: string, rule: { pattern?: string; minLength?: number; maxLength?: number } = {}) {
  return Type.String({ description, minLength: 1, maxLength: 1_024, ...rule });
}

function name(description: string) {
  return Type.String({ description, pattern: NAME_PATTERN });
}

function integer(description: string, minimum: number, maximum = MAX_INTEGER) {
  return Type.Integer({ description, minimum, maximum });
}

function ms(description: string, minimum = 1, maximum = DAY_MS) {
  return Type.Integer({ description, minimum, maximum });
}

function flag(description: string) {
  return Type.Boolean({ description });
}

/** A value that is checked and replaced by a `Secret` before the schema sees it. */
function secret(description: string, secretMinLength = 1) {
  return Type.Unsafe<Secret>({ description, secret: true, secretMinLength } as object);
}

/** Room for a limit: so many in a second, a burst on top. */
function rate(description: string) {
  return section(description, {
    perSecond: Type.Number({
      description: 'Requests per second on the long run; 0 for no limit.',
      minimum: 0,
      maximum: 100_000,
    }),
    burst: integer('How many of them may go at once.', 1, 100_000),
  });
}

const channelPolicy = {
  baseUrl: text('Where the platform is: https, or http on a loopback host. Redirects are never followed.'),
  tenant: name('Tenant that the channel belongs to.'),
  echoesReference: Type.Enum(['always', 'never'], {
    description: 'Whether the platform repeats our reference in its acks.',
  }),
  lookup: flag('Whether the platform can be asked what became of a reference.'),
  unlockedBy: Type.Enum(['accepted', 'sent', 'delivered', 'read'], {
    description: 'The ack level that lets the next message of a room go.',
  }),
  ackTimeoutMs: ms('X: how long an accepted message waits for its ack, from the answer of the platform.'),
  sendTimeoutMs: ms('How long a request to the platform may take; at most lease - renewal - 500 ms.', 50, 60_000),
  minGapMs: ms('Least time from one message of a room settling to the next being sent.', 0),
  channelLimit: rate("The platform's limit on this sender."),
  accountLimit: rate('Its limit on all senders of the account together; the same on every channel of the account.'),
  roomLimit: section("Its limit on what one end user is sent. It holds the room's head and slows no other room.", {
    everyMs: ms('One message in so much time, on the long run; 0 for no limit.', 0),
    burst: integer('How many may go at once, on credit that later messages wait for.', 1, 10_000),
  }),
  maxConcurrentSends: integer('Requests to the platform in flight at once, per worker.', 1, 10_000),
  media: section('Media that waiting messages link to, uploaded before their turn. WhatsApp, Messenger, Instagram.', {
    prepare: flag('Upload it ahead. On WhatsApp this process then fetches what publishers link to.'),
    allowedHosts: Type.Array(
      Type.String({
        description: 'A host, or host:port.',
        pattern: '^([a-z0-9]([a-z0-9._-]{0,252}[a-z0-9])?|\\[[0-9a-f:.]{2,45}\\])(:[1-9][0-9]{0,4})?$',
      }),
      {
        description:
          'Hosts to fetch from although their addresses are not public, or the port is not 443; all others must be https on public addresses.',
        maxItems: 100,
      },
    ),
    maxConcurrent: integer('Uploads of the channel in flight at once, per worker.', 1, 64),
    timeoutMs: ms('How long fetching and uploading the media of one message may take.', 100, 600_000),
  }),
  maxAttempts: integer('Attempts that a message may use up.', 1, 100),
  backoff: section('Pauses between attempts that the platform refused with "later".', {
    initialMs: ms('The first pause.'),
    maxMs: ms('The longest pause.'),
    factor: Type.Number({ description: 'Growth from one pause to the next.', minimum: 1, maximum: 10 }),
    jitter: Type.Number({ description: 'Share of the pause that is random.', minimum: 0, maximum: 1 }),
  }),
  unknownGraceMs: ms('How long an unknown outcome waits for evidence before the policy applies.', 0),
  unknownPolicy: Type.Enum(['resend', 'hold', 'assume'], {
    description: 'What to do with an outcome that stays unknown.',
  }),
  failurePolicy: Type.Enum(['move_on', 'hold'], {
    description: 'After a final failure: go on with the next message, or wait for an operator.',
  }),
  orderGapTimeoutMs: ms(
    "How long what is ahead of its turn in a publisher's order waits for the numbers that are missing.",
  ),
  orderGapPolicy: Type.Enum(['skip', 'hold'], {
    description: 'When that time is over: go on without them, or wait for an operator.',
  }),
  ackTimeout: section("Whether X follows the channel's own acks.", {
    mode: Type.Enum(['fixed', 'adaptive'], {
      description:
        '`fixed`: X is ackTimeoutMs. `adaptive`: the time that `quantile` of the acks keep to, times `factor`; at least floorMs, at most ackTimeoutMs. What a message asks for itself is kept to either way.',
    }),
    floorMs: ms('Adaptive: X is never below this; at most ackTimeoutMs.'),
    quantile: Type.Number({
      description: 'Adaptive: the share of the acks that come within ackTimeoutMs for which X is to wait.',
      minimum: 0.5,
      maximum: 0.9999,
    }),
    factor: Type.Number({
      description: 'Adaptive: X over the time that this share keeps to.',
      minimum: 1,
      maximum: 10,
    }),
    halfLifeMs: ms('Adaptive: what an ack weighs halves in this time, or with 1,000 further acks.', 1_000),
    minAcks: integer('Adaptive: while fewer acks than this are remembered, X is ackTimeoutMs.', 10, 1_000),
  }),
  ackOutage: section('When the channel counts as having stopped sending acks.', {
    afterMs: ms('No ack for this long ...'),
    minTimeouts: integer('... and at least this many ack timeouts in that time.', 1),
    gapMs: ms('While it lasts, an accepted message waits this long instead of ackTimeoutMs.'),
  }),
  probe: section('How a stopped channel is tried again.', {
    initialMs: ms('Pause before the first probe.'),
    maxMs: ms('Longest pause between probes.'),
  }),
};

const channelIdentity = {
  account: name('The account on the platform side that owns the sender.'),
  platform: Type.Enum([...PLATFORM_NAMES], { description: 'Which platform adapter speaks for the channel.' }),
  accessToken: secret(
    'What requests to the platform carry as proof of who sends; the guide of each platform says what it is.',
  ),
  webhookSecrets: Type.Array(secret('One secret.', 16), {
    description: 'Secrets that sign webhooks, newest first; two while one is being replaced.',
    minItems: 1,
    maxItems: 4,
  }),
  ...(Object.fromEntries(
    Object.entries(platformSettings).map(([name, schema]) => [name, Type.Optional(schema)]),
  ) as unknown as {
    [K in keyof typeof platformSettings]: TOptional<(typeof platformSettings)[K]>;
  }),
};

function somePolicy(description: string) {
  return section(
    description,
    Object.fromEntries(Object.entries(channelPolicy).map(([key, schema]) => [key, Type.Optional(partly(schema))])),
  );
}

/** A section of which only some settings need be given. */
function partly(schema: TSchema): TSchema {
  if (!('properties' in schema)) return schema;
  const { properties, description } = schema as TObject & { description: string };
  return section(
    description,
    Object.fromEntries(Object.entries(properties).map(([key, inner]) => [key, Type.Optional(partly(inner))])),
  );
}

function platformPolicy(name: (typeof PLATFORM_NAMES)[number]) {
  const { properties } = somePolicy('');
  const own = 'apiVersion' in ((platformSettings as Partial<Record<string, TObject>>)[name]?.properties ?? {});
  const more = own
    ? { [name]: Type.Optional(section(`Settings of ${name}.`, { apiVersion: Type.Optional(API_VERSION) })) }
    : {};
  return section(`Policy of ${name} channels.`, { ...properties, ...more });
}

export const channelSchema = section('One sender and its policy.', { ...channelIdentity, ...channelPolicy });

export const configSchema = section('Roomline', {
  node: section('This process.', {
    name: Type.Optional(
      name(
        'Name of this process in logs, weights and pins: the same after a restart. The host name where it is not given.',
      ),
    ),
    roles: Type.Array(Type.Enum(['intake', 'api', 'webhook', 'worker']), {
      description: 'What this process does: takes messages from the queue, serves the API, takes webhooks, sends.',
      minItems: 1,
      uniqueItems: true,
    }),
    stopTimeoutMs: ms('How long a graceful stop may take before the process ends itself.', 100, 600_000),
  }),
  http: section('The HTTP listener: API, webhooks, health and metrics.', {
    publicUrl: Type.Optional(
      text('This listener as platforms reach it, such as https://roomline.example: where they send webhooks.'),
    ),
    host: text('Address to listen on.'),
    port: integer('Port to listen on; 0 takes a free one.', 0, 65_535),
    bodyLimitBytes: integer('Largest body of an API request.', 1_024, 64 * 1_048_576),
    batchBodyLimitBytes: integer('Largest body of a batch of messages.', 1_024, 64 * 1_048_576),
    webhookBodyLimitBytes: integer('Largest body of a webhook request.', 1_024, 64 * 1_048_576),
    headersTimeoutMs: ms('Time for a request to send its headers.'),
    requestTimeoutMs: ms('Time for a request to arrive completely.'),
    connectionsCheckingIntervalMs: ms('How often those two are checked.'),
    keepAliveTimeoutMs: ms('How long an idle connection is kept; set it above that of the load balancer.'),
    maxConnections: integer('Connections open at once.', 1),
    maxRequestsPerSocket: integer('Requests on one connection before it is closed; 0 for no limit.', 0),
  }),
  auth: section('Who may call the API.', {
    keys: Type.Array(
      section('One key.', {
        name: name('Name of the key in logs and audit.'),
        hash: Type.String({ description: 'Digest of the key: sha256:<64 hex>.', pattern: '^sha256:[0-9a-f]{64}$' }),
        scopes: Type.Array(Type.Enum(['publish', 'read', 'operate']), {
          description: 'What the key may do.',
          minItems: 1,
          uniqueItems: true,
        }),
        expiresAt: Type.Optional(
          Type.String({
            description: 'UTC time from which the key is refused.',
            pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,3})?Z$',
          }),
        ),
        tenants: Type.Optional(
          Type.Array(name('A tenant.'), {
            description: 'The only tenants that the key can see, publish to and operate; all without it.',
            minItems: 1,
            uniqueItems: true,
          }),
        ),
        limits: Type.Optional(
          section('What the key may ask for; no limit without it (docs/api.md).', {
            requests: Type.Optional(rate('Requests of every kind.')),
            messages: Type.Optional(rate('Messages that it hands in, by themselves or in batches.')),
          }),
        ),
      }),
      { description: 'API keys as `roomline key create` prints them; JSON when given by environment.' },
    ),
  }),
  postgres: section('The store.', {
    url: secret(
      'Connection URL, with user and password: postgres://user:password@host:port/database, or a Unix socket: postgres:///database?host=/directory&user=user.',
    ),
    requireVerifiedTls: flag(
      'Refuse a server that is neither on a loopback address nor behind a Unix socket without sslmode=verify-full.',
    ),
    lanes: integer('Connections with one batch in flight each.', 1, 64),
    poolMax: integer('Connections for everything else.', 1, 1_000),
    connectTimeoutMs: ms('Time to get a connection.'),
    statementTimeoutMs: ms('Longest statement.'),
    idleInTransactionSessionTimeoutMs: ms('Longest pause inside a transaction before Postgres ends it.'),
    preparedStatements: flag('Use named prepared statements; off behind some transaction-mode poolers.'),
    sessionSettings: Type.Enum(['startup', 'role'], {
      description:
        'Where timeouts and planner settings come from: sent with each connection, or, behind a transaction-mode pooler, settings of the role (`ALTER ROLE … SET`; the start names those that are missing).',
    }),
    shards: integer('Hash buckets of rooms. Fixed when the database is created.', 1, 65_536),
    historyRetentionDays: integer('How many days settled messages stay readable.', 1, 3_650),
    auditRetentionDays: integer('How many days it stays readable what operators did.', 30, 36_500),
    chartRetentionDays: integer('How many days the minutes of charts stay readable.', 1, 3_650),
    dedupeDays: integer('How many days a message id is recognised; at least the retention of the queue.', 1, 3_650),
    allowUnsafeSettings: flag('Start although fsync or the like is off. For throw-away databases.'),
  }),
  pubsub: section('Intake from Pub/Sub.', {
    enabled: flag('Consume from Pub/Sub.'),
    projectId: Type.Optional(text('Google Cloud project.')),
    subscription: Type.Optional(text('Subscription with message ordering enabled.', { minLength: 3, maxLength: 255 })),
    topic: Type.Optional(
      text('Topic, where the subscription should be created if missing.', { minLength: 3, maxLength: 255 }),
    ),
    endpoint: Type.Optional(text('host:port of an emulator or of the embedded server, instead of the service.')),
    maxOutstandingMessages: integer('Messages received and not yet acknowledged.', 1, 1_000_000),
    maxOutstandingBytes: integer('Their size.', 1_024),
  }),
  redis: section(
    'What processes tell each other and keep together, where it is given. Away it costs speed, nothing else.',
    {
      url: Type.Optional(
        secret('Connection URL: redis://user:password@host:port/database, or rediss:// for TLS. None: no Redis.'),
      ),
      requireVerifiedTls: flag('Refuse a server that is not on a loopback address without rediss://.'),
      keyPrefix: Type.String({
        description:
          'What every key begins with; two fleets on one Redis need two. The same in all processes of one database: those that differ do not hear each other, find work by sweeping only and keep limits apart; event signals.divided says so.',
        pattern: '^[A-Za-z0-9._:-]{0,64}$',
      }),
      connectTimeoutMs: ms('Time to get a connection.'),
      commandTimeoutMs: ms('Time for an answer. What waits for it goes on without Redis then.', 10, 60_000),
    },
  ),
  ownership: section('The lease of a worker on its shards.', {
    leaseMs: ms('Life of a lease.', 500, 600_000),
    renewEveryMs: ms('How often it is renewed.', 50, 300_000),
    stallLimitMs: Type.Optional(
      ms(
        'A worker whose event loop stood still for longer ends, for its supervisor to start it again; the life of a lease where it is not given.',
        500,
        600_000,
      ),
    ),
    pollEveryMs: ms(
      'How often the fleet is looked at while others are there and no signals come; with more than 125 others at least 2 ms for each, so that all together look at most 500 times a second.',
      20,
      60_000,
    ),
    weight: Type.Number({
      description: 'The part of the shards that this worker is to hold, against that of the others; 0: none.',
      minimum: 0,
      maximum: 1_000,
    }),
    sweepEveryMs: ms(
      'How long a holder waits before it looks over all its rooms again; up to six times as long where that takes more than a twentieth of the time.',
    ),
    sweepWithoutSignalsMs: ms(
      'How often a holder looks, beside that, at the rooms that were written lately, while no signals of other processes can be expected.',
    ),
  }),
  intake: section('How messages are accepted.', {
    mode: Type.Enum(['direct', 'buffered'], {
      description:
        '`direct`: HTTP answers after the commit in Postgres. `buffered`: after the append to a stream of Redis, from where it is inserted (docs/buffering.md). The same in all processes.',
    }),
    partitions: integer('Streams that the buffer is split into, by room. Changed only while it is empty.', 1, 256),
    maxBufferedMessages: integer('Messages that the buffer may hold, an equal share in each partition; 503 beyond.', 1),
    maxBufferedBytes: integer('Memory of Redis that it may take, likewise.', 1_048_576, Number.MAX_SAFE_INTEGER),
    maxTries: integer('How often an entry that is refused alone is tried before it is put aside.', 1, 100),
    leaseMs: ms('How long a consumer of the buffer may be silent before another takes its partitions.', 500, 600_000),
    redisTimeoutMs: ms('Time for Redis to take messages; 503 after that.', 10, 60_000),
    allowUnsafeRedis: flag(
      'Accept into a Redis that may lose what it has answered: without an append-only file, with `appendfsync` other than `always`, or one that evicts.',
    ),
  }),
  reference: section('Our opaque names for messages towards platforms.', {
    secret: secret('Key of their check characters and of the hashes in logs. The same on every process, for good.', 32),
  }),
  batching: section('Group commit.', {
    maxRows: integer('Rooms in one statement that stores their states.', 1, 5_000),
    maxIntakeRows: integer('Messages in one statement that takes them in.', 1, 5_000),
    lingerMs: ms(
      'Longest wait of a batch for as many messages as were there when the last one was stored; 0: none.',
      0,
      1_000,
    ),
    acceptanceLingerMs: ms(
      'Longest wait of an acceptance by a platform for the ack, to be stored with it in one write, while no other process is known that the ack could come to; 0: none. Of what a process that is killed has not stored yet its successor asks for evidence.',
      0,
      1_000,
    ),
    maxWaiting: integer('Messages that may wait for their commit; HTTP is answered 503 beyond that.', 1),
    maxWaitingBytes: integer(
      'Bytes of those that came by HTTP, requests included that were answered because the store took too long; HTTP is answered 503 beyond that.',
      1,
    ),
  }),
  memory: section('Bounds of what a worker keeps in memory.', {
    bodyCacheBytes: integer('Message bodies kept from intake to send.', 0),
  }),
  log: section('Logs: JSON lines on standard output.', {
    level: Type.Enum(['debug', 'info', 'warn', 'error'], { description: 'Least level that is written.' }),
  }),
  channelSettings: section('Channels that operators configure by the API (docs/channels/operating.md).', {
    pollEveryMs: ms('How often each process looks for changes that another one took.', 100, 60_000),
    secretVariables: Type.Array(
      Type.String({ description: 'A variable, or how some begin and a *.', pattern: '^[A-Za-z_][A-Za-z0-9_]*\\*?$' }),
      {
        description:
          'Environment variables that such channels may name as secrets: `NAME`, or `PREFIX*` for all that begin so. None of `ROOMLINE_` ever; JSON when given by environment.',
        maxItems: 1_000,
      },
    ),
    secretDirectory: Type.Optional(
      text('Directory below which such channels may name files as secrets; without it, none.'),
    ),
  }),
  live: section('The live feed (docs/observing.md).', {
    maxReaders: integer('Readers at once, per process; 0 refuses all.', 0, 10_000),
    maxReadersPerKey: integer('Readers of one key at once, per process.', 1, 10_000),
  }),
  development: section('Development mode (docs/api.md): for machines on which no message is real.', {
    enabled: flag('Lets operators delete all rooms and messages by the API, and change the fake platform.'),
    platformUrl: Type.Optional(text('Control address of the fake platform, such as http://127.0.0.1:9100.')),
  }),
  channelDefaults: somePolicy('Policy of every channel that does not say otherwise.'),
  platformDefaults: section(
    'Policy of every channel of a platform that does not say otherwise; comes before channelDefaults.',
    Object.fromEntries(PLATFORM_NAMES.map((name) => [name, Type.Optional(platformPolicy(name))])),
  ),
  channels: Type.Record(Type.String({ pattern: NAME_PATTERN }), channelSchema, {
    description: 'The channels, by name; JSON when given by environment.',
    additionalProperties: false,
  }),
});

/** Read-only all the way down, secrets left as they are. */
export type Frozen<T> = T extends Secret
  ? T
  : T extends readonly (infer E)[]
    ? readonly Frozen<E>[]
    : T extends object
      ? { readonly [K in keyof T]: Frozen<T[K]> }
      : T;

export type ChannelConfig = Frozen<Static<typeof channelSchema>> & { readonly name: string };

export type Config = Frozen<Omit<Static<typeof configSchema>, 'channels' | 'channelDefaults' | 'platformDefaults'>> & {
  readonly channels: readonly ChannelConfig[];
};

/** What the code that walks a schema needs to know of its nodes. */
export interface SchemaNode {
  readonly description?: string;
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly secret?: boolean;
  readonly secretMinLength?: number;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly patternProperties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly items?: SchemaNode;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
}

export const configNode: SchemaNode = configSchema as unknown as SchemaNode;
export const channelNode: SchemaNode = channelSchema as unknown as SchemaNode;
