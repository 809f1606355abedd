/**
 * The error catalogue: every error that Roomline reports to a client or an operator has one stable code here.
 * Codes are part of the public contract: add, never rename. `docs/errors.md` is rendered from this table.
 */

export interface ErrorEntry {
  /** HTTP status of an answer that carries this error. */
  readonly status: number;
  /** One short sentence, the same for every occurrence. */
  readonly title: string;
  /** Whether the same request may succeed later without being changed. */
  readonly retryable: boolean;
  /** What the caller or the operator does about it. */
  readonly action: string;
}

const CATALOGUE = {
  // Requests and messages that break a rule of the interface.
  body_malformed_json: entry(400, 'The body is not valid JSON', 'Send one JSON document (RFC 8259) as the body.'),
  body_not_utf8: entry(400, 'The body is not valid UTF-8', 'Encode the body as UTF-8.'),
  body_too_large: entry(413, 'The body is larger than this endpoint accepts', 'Send fewer or smaller messages.'),
  batch_too_large: entry(413, 'The batch holds more messages than one request may bring', 'Send it in parts.'),
  body_too_deep: entry(400, 'The JSON is nested too deeply', 'Flatten the document; the rule names the limit.'),
  field_missing: entry(400, 'A required field is missing', 'Add the named field.'),
  field_unknown: entry(400, 'A field is not known', 'Remove or correct the named field.'),
  field_type: entry(400, 'A field has the wrong type', 'Send the named field as the type that the rule gives.'),
  field_invalid: entry(400, 'A field breaks its rule', 'Change the named field so that it satisfies the rule.'),
  text_nul_or_surrogate: entry(
    400,
    'A text holds a NUL character or an unpaired surrogate',
    'Remove the character: neither can be stored or sent.',
  ),
  number_not_finite: entry(400, 'A number is not finite', 'Send a finite number within the range the rule gives.'),
  id_invalid: entry(400, 'An identifier holds a character that is not allowed', 'Use only what the rule allows.'),
  id_too_long: entry(400, 'An identifier is too long', 'Shorten it to the length that the rule gives.'),
  payload_too_large: entry(413, 'The message is larger than the channel accepts', 'Send a smaller message.'),
  content_invalid: entry(
    422,
    'The content is not what the platform of its channel takes',
    "Change the named part of the content as the rule says; the channel's guide in docs/ shows what it takes.",
  ),
  channel_unknown: entry(
    422,
    'No channel of this name is configured',
    'Correct the channel name, or add the channel to the configuration.',
  ),
  message_id_conflict: entry(
    409,
    'The message id was used in this room for another message',
    'Give each message its own id; repeat an id only with the same content.',
  ),
  order_conflict: entry(
    409,
    'The order belongs to another message of the room',
    'Give each message of a room its own number; one whose turn has passed has none any more.',
  ),
  ordering_key_missing: entry(
    422,
    'The message was published without an ordering key',
    'Publish with the room key as ordering key and ordering enabled.',
  ),
  ordering_key_mismatch: entry(
    422,
    'The ordering key is not the room of the message',
    'Publish with the room key of the message as its ordering key.',
  ),

  partition_mismatch: entry(
    422,
    'The entry is not in the partition of its room',
    'Write each room to its own partition of the buffer; docs/buffering.md says which that is.',
  ),

  // Who may ask, and for what.
  unauthorized: entry(
    401,
    'No valid key came with the request',
    'Send "Authorization: Bearer <key>" with a valid key.',
  ),
  forbidden_scope: entry(403, 'The key lacks the scope for this', 'Use a key that has the scope which the rule names.'),
  signature_invalid: entry(401, 'The signature was refused', 'Sign the raw body with a current webhook secret.'),
  signature_expired: entry(401, 'The signature was refused', 'Sign with the present time and check the clock.'),

  // What was asked for does not exist or does not fit.
  not_found: entry(404, 'There is nothing at this address', 'Check the path.'),
  dashboard_not_built: entry(
    404,
    'The dashboard has not been built',
    'Run "npm run build" and start the process again; the API needs no build.',
  ),
  method_not_allowed: entry(405, 'This address does not support the method', 'Use a method that the address supports.'),
  unsupported_media_type: entry(415, 'The content type is not supported', 'Send "Content-Type: application/json".'),
  upgrade_required: entry(
    426,
    'This address speaks WebSocket only',
    'Connect as a WebSocket; GET /v1/live has the same as server-sent events.',
  ),
  live_readers_exceeded: retryable(
    503,
    'As many readers of the live feed are connected as may be',
    'Close one that is not needed, or connect later; live.maxReaders and live.maxReadersPerKey say how many there may be.',
  ),
  message_not_found: entry(404, 'No such message', 'Check the id; history is kept for the configured number of days.'),
  room_not_found: entry(
    404,
    'No such room',
    'Check tenant, channel and room id; a room exists from its first message.',
  ),
  channel_not_found: entry(404, 'No such channel', 'Check tenant and channel; GET /v1/ops/channels lists all.'),
  channel_in_file: entry(
    409,
    'The channel is configured in a file',
    'Change the file and restart, or remove it there first: a file goes before the API.',
  ),
  channel_in_use: entry(
    409,
    'Rooms of the channel have messages that have not settled',
    'Wait until they have settled, or repeat with ?force=true: they keep their messages until the channel is back.',
  ),
  channel_settings_invalid: entry(
    422,
    'The settings of the channel are not valid',
    'Correct every fault that is listed.',
  ),
  revision_mismatch: entry(
    412,
    'The channel is not the one that the request expects',
    'Read it again, then decide again.',
  ),
  worker_not_found: entry(
    404,
    'No such worker',
    'Give the id of a worker or the name of a node; GET /v1/ops/workers lists all.',
  ),
  worker_ambiguous: entry(409, 'Several workers have this name', 'Give the id of one; the detail names them.'),
  worker_takes_none: entry(
    409,
    'The worker is given no shards',
    'Choose one with the role worker that lives, has a weight and does not drain.',
  ),
  worker_last: entry(
    409,
    'No worker with a weight would be left',
    'Start another first, or repeat with force: owners keep their shards then, and nobody takes those without one.',
  ),
  weight_invalid: entry(400, 'A weight is not within its range', 'Give a number within the range that the rule names.'),
  shard_out_of_range: entry(400, 'There is no such shard', 'Give shards that are there; the rule names the range.'),
  shard_repeated: entry(400, 'A shard is named twice', 'Name each shard once in pins and once in moves.'),
  shard_pinned: entry(
    409,
    'A shard that is to move is pinned to another node',
    'Unpin it in the same request, or change its pin instead.',
  ),
  membership_changed: entry(
    409,
    'The fleet is not the one that the request was decided for',
    'Nothing was changed. Read it again, then decide again.',
  ),
  development_disabled: entry(
    403,
    'This is done in development mode only',
    'Set development.enabled, and never where messages are real.',
  ),
  development_platform_missing: entry(
    404,
    'There is no fake platform to change',
    'Set development.platformUrl to the control address of one.',
  ),
  reset_unconfirmed: entry(
    409,
    'The database is not the one that the request names',
    'Nothing was deleted. GET /v1/development says what it is called.',
  ),
  reset_not_permitted: entry(
    403,
    'The role that the service has at the database may not empty tables',
    'Nothing was deleted. Give postgres.url the role that owns the schema, in development only.',
  ),
  message_settled: entry(409, 'The message has settled', 'Nothing was changed; a failed message can be replayed.'),
  message_not_head: entry(
    409,
    'The message is not the first of its room that has not settled',
    'Order it of the head of the room, or cancel the message: that takes effect when its turn comes.',
  ),
  message_not_held: entry(
    409,
    'The message does not wait for an operator or for its next attempt',
    'Nothing was changed: look at its room. What has failed for good is replayed from its dead letter.',
  ),
  order_pending: entry(
    409,
    'Another order about the message waits for its open attempt',
    'Nothing was changed: the first order takes effect when the attempt ends.',
  ),
  dead_letter_not_found: entry(404, 'No such dead letter', 'Check the id; GET /v1/dead-letters lists them.'),
  dead_letter_closed: entry(409, 'The dead letter was replayed or discarded', 'Nothing was changed: look at it.'),
  no_gap: entry(
    409,
    'The room does not wait for this number of its order',
    'Nothing was changed. Read the room: it says which number it waits for, if any.',
  ),
  conflict_state: entry(409, 'The present state does not allow this', 'Read the present state, then decide again.'),

  // Try again later.
  overloaded: retryable(503, 'The service is at its limit', 'Repeat after the time in Retry-After.'),
  not_ready: retryable(
    503,
    'The service is starting or has lost a dependency',
    'See /readyz for the dependency; repeat.',
  ),
  another_history: retryable(
    503,
    'The database is not the one whose past is known',
    'Repeat later. Operators: "roomline database status" says more; docs/guarantees.md says what to decide.',
  ),
  buffer_unsafe: retryable(
    503,
    'Redis could lose what it is given, so that nothing is accepted into it',
    'Repeat later. Operators: set its appendonly to yes, its appendfsync to always, and eviction off; docs/guarantees.md says why.',
  ),
  signature_unverified: retryable(
    503,
    'The signature could not be verified',
    'Repeat: the fault may pass. Sign the raw body with a current webhook secret.',
  ),
  rate_limited: retryable(429, 'Too many requests with this key', 'Repeat after the time in Retry-After.'),
  request_timeout: retryable(
    408,
    'The request did not arrive in time',
    'Repeat; send the whole request without pauses.',
  ),
  internal: retryable(
    500,
    'Something failed inside the service',
    'Repeat; if it stays, give the request id to an operator.',
  ),

  // Start-up: for the operator, never sent to a client.
  config_invalid: entry(500, 'The configuration is not valid', 'Correct every listed value, then start again.'),
  unsafe_postgres_setting: entry(
    500,
    'A Postgres setting would break what Roomline promises',
    'Set it as the rule says, or allow it with postgres.allowUnsafeSettings for a throw-away database.',
  ),
  shards_mismatch: entry(
    500,
    'The database was created with another number of shards',
    'Set postgres.shards to the number that the database was created with.',
  ),
  schema_outdated: entry(500, 'The database schema is not the one this version needs', 'Run "roomline migrate".'),
  database_in_recovery: entry(
    500,
    'The database server is a standby that has not been promoted',
    'Point postgres.url at the primary: nothing may be decided from what a standby says.',
  ),
  buffer_partitions_mismatch: entry(
    500,
    'The buffer has another number of partitions',
    'Set intake.partitions as the rule says; to change it, stop every intake process once the buffer is empty.',
  ),
  node_unsupported: entry(
    500,
    'This version of Node.js cannot run Roomline',
    'Use Node.js 22.23 or later of 22, 24.14.1 or later of 24, or 26 and later.',
  ),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof CATALOGUE;

/** The frozen table, by code. */
export const ERRORS: Readonly<Record<ErrorCode, ErrorEntry>> = Object.freeze(CATALOGUE);

function entry(status: number, title: string, action: string): ErrorEntry {
  return Object.freeze({ status, title, retryable: false, action });
}

function retryable(status: number, title: string, action: string): ErrorEntry {
  return Object.freeze({ status, title, retryable: true, action });
}

/** One of several things that are wrong with what was sent. Holds no values. */
export interface Fault {
  /** Such as `backoff.maxMs`. */
  readonly path: string;
  /** Stable. */
  readonly code: string;
  readonly rule: string;
  readonly action: string;
}

export interface ErrorContext {
  /** What is wrong this time. Shown to clients: no SQL, host, secret, recipient or message text. */
  readonly detail?: string;
  /** Path of the offending field, such as `messages[3].room`. */
  readonly field?: string;
  /** The rule that the field breaks, such as `at most 256 characters`. */
  readonly rule?: string;
  /** Milliseconds to wait before repeating. */
  readonly retryAfterMs?: number;
  /** Everything that is wrong, where that is more than one thing. */
  readonly faults?: readonly Fault[];
  /** The error underneath, for logs only; never sent to a client. */
  readonly cause?: unknown;
}

export class RoomlineError extends Error {
  override readonly name = 'RoomlineError';
  readonly code: ErrorCode;
  readonly detail: string;
  readonly field: string | undefined;
  readonly rule: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly faults: readonly Fault[] | undefined;

  constructor(code: ErrorCode, context: ErrorContext = {}) {
    const detail = context.detail ?? ERRORS[code].title;
    super(`${code}: ${detail}`, context.cause === undefined ? undefined : { cause: context.cause });
    this.code = code;
    this.detail = detail;
    this.field = context.field;
    this.rule = context.rule;
    this.retryAfterMs = context.retryAfterMs;
    this.faults = context.faults;
  }

  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }
}

/** RFC 9457 problem details, served as `application/problem+json`. */
export interface Problem {
  readonly type: `urn:roomline:error:${ErrorCode}`;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly action: string;
  readonly retryable: boolean;
  readonly requestId: string;
  readonly field?: string;
  readonly rule?: string;
  readonly retryAfterMs?: number;
  readonly faults?: readonly Fault[];
}

/**
 * The answer to a client. Anything that is not a `RoomlineError` becomes `internal` with nothing of the original in it,
 * so that no stack, SQL or host name leaves the process.
 */
export function toProblem(error: unknown, requestId: string): Problem {
  const known = error instanceof RoomlineError ? error : new RoomlineError('internal');
  const { status, title, action, retryable } = ERRORS[known.code];
  return {
    type: `urn:roomline:error:${known.code}`,
    title,
    status,
    detail: known.detail,
    code: known.code,
    action,
    retryable,
    requestId,
    ...(known.field === undefined ? {} : { field: known.field }),
    ...(known.rule === undefined ? {} : { rule: known.rule }),
    ...(known.retryAfterMs === undefined ? {} : { retryAfterMs: known.retryAfterMs }),
    ...(known.faults === undefined ? {} : { faults: known.faults }),
  };
}

/** The text of `docs/errors.md`. */
export function renderErrorsMarkdown(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, { status, title, retryable, action }]) =>
      `| \`${code}\` | ${status} | ${title} | ${retryable ? 'yes' : 'no'} | ${action} |`,
  );
  return [
    '# Errors',
    '',
    'Rendered from `src/errors.ts`; a test holds this page current (`npm test -- test/errors.test.ts -u` rewrites it).',
    '',
    'Every error has a code that never changes its meaning. HTTP answers carry it as `application/problem+json`',
    '(RFC 9457) with the members `type` (`urn:roomline:error:<code>`), `title`, `status`, `detail`, `code`, `action`,',
    '`retryable`, `requestId` and, where they apply, `field`, `rule`, `retryAfterMs` and `faults`. In a batch each refused item',
    'carries the same members.',
    '',
    '| code | status | meaning | retry unchanged | what to do |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}
