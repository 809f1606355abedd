/**
 * Everything that Roomline tells about itself, as three closed lists: log events, metrics, and in-process events.
 * Message bodies and secrets have no field to go into; rooms and recipients appear in logs as keyed hashes only.
 */
import { createHmac, createSecretKey } from 'node:crypto';
import { type DestinationStream, pino } from 'pino';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { RoomlineError } from './errors.ts';
import type { AckLevel, Outcome, RoomAddress, RoomKey } from './room/room.ts';

// ------------------------------------------------------------------------------------------------------------- logs

declare const hashed: unique symbol;
/** A room or recipient as logs may show it: the same text gives the same hash, and nobody without the key goes back. */
export type RecipientHash = string & { readonly [hashed]: true };

/** Makes the function that turns rooms and recipients into their log form: 16 hexadecimal digits of an HMAC-SHA256. */
export function recipientHasher(key: string): (recipient: string) => RecipientHash {
  const prepared = createSecretKey(key, 'utf8');
  return (recipient) =>
    createHmac('sha256', prepared).update('log:').update(recipient).digest('hex').slice(0, 16) as RecipientHash;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** What an attempt came to, for logs and metrics. */
export type AttemptResult = 'accepted' | 'refused' | 'unknown' | 'interrupted';

/** Every field that any log line may have. Texts are names and codes from the configuration or from our own lists. */
interface LogFieldTypes {
  readonly account: string;
  readonly ackToSendMs: number;
  readonly attempt: number;
  readonly channel: string;
  readonly code: string;
  readonly constraint: string;
  readonly count: number;
  readonly dependency: string;
  readonly durationMs: number;
  readonly errorName: string;
  readonly field: string;
  readonly frames: string;
  readonly generation: number;
  readonly holder: string;
  readonly host: string;
  readonly key: string;
  readonly method: string;
  readonly nodeVersion: string;
  readonly outcome: Outcome;
  /** Of the buffer. */
  readonly partition: number;
  readonly port: number;
  readonly reason: string;
  readonly requestId: string;
  readonly result: AttemptResult;
  readonly room: RecipientHash;
  readonly route: string;
  readonly rule: string;
  readonly seen: string;
  readonly sequence: number;
  readonly service: string;
  readonly order: number;
  readonly shards: number;
  readonly signal: string;
  readonly source: string;
  readonly state: string;
  readonly status: number;
  readonly stored: string;
  readonly syscall: string;
  readonly tenant: string;
  readonly version: string;
  readonly worker: string;
}
type LogField = keyof LogFieldTypes;

interface LogEventEntry {
  readonly level: LogLevel;
  readonly required: readonly LogField[];
  readonly optional: readonly LogField[];
}

const ERROR_FIELDS = ['errorName', 'code', 'syscall', 'constraint', 'frames', 'field', 'rule'] as const;

/** The closed list of log events with their levels and fields. A field not listed for its event is not written. */
const LOG_EVENTS = {
  'process.started': logEvent('info', ['version', 'nodeVersion']),
  'process.stopping': logEvent('info', ['signal']),
  'process.stopped': logEvent('info', ['durationMs']),
  'watchdog.powerless': logEvent('warn', []),
  'process.failed': logEvent('error', ['reason'], ERROR_FIELDS),
  // Its event loop stood still for longer than it may: the process ends.
  'process.stalled': logEvent('error', ['durationMs']),
  'service.started': logEvent('info', ['service', 'durationMs']),
  'service.stopped': logEvent('info', ['service', 'durationMs']),
  'service.failed': logEvent('error', ['service'], ERROR_FIELDS),
  'http.listening': logEvent('info', ['host', 'port']),
  'http.request_failed': logEvent('error', ['requestId', 'method', 'route', 'status'], ERROR_FIELDS),
  'http.request_refused': logEvent('debug', ['requestId', 'method', 'route', 'status', 'code'], ['key', 'field']),
  // Messages of a batch that were refused alone, by the code of their errors.
  'http.items_refused': logEvent('debug', ['requestId', 'code', 'count']),
  'dependency.lost': logEvent('warn', ['dependency'], ERROR_FIELDS),
  'dependency.back': logEvent('info', ['dependency', 'durationMs']),
  'signals.live': logEvent('info', []),
  'signals.lost': logEvent('warn', ['reason']),
  // So many others hear other signals: another redis.keyPrefix, or none.
  'signals.divided': logEvent('warn', ['count']),
  'ownership.acquired': logEvent('info', ['worker', 'generation', 'shards']),
  'ownership.handed_over': logEvent('info', ['worker', 'shards']),
  'ownership.lost': logEvent('warn', ['worker', 'generation', 'reason']),
  // Renewals succeed, and nothing else of the store: the process ends.
  'ownership.unable': logEvent('error', ['durationMs']),
  'ownership.taken_over': logEvent('warn', ['worker', 'holder', 'shards']),
  'intake.refused': logEvent('warn', ['source', 'code'], ['channel', 'room', 'field', 'rule', 'requestId']),
  'intake.batch_failed': logEvent('warn', ['source', 'count'], ERROR_FIELDS),
  // Numbers of a publisher's order that were given up: so many from this one on.
  'order.skipped': logEvent('warn', ['tenant', 'channel', 'room', 'order', 'count', 'reason']),
  'buffer.append_failed': logEvent('warn', ['partition', 'count'], ERROR_FIELDS),
  'buffer.batch_failed': logEvent('warn', ['partition', 'count'], ERROR_FIELDS),
  // Another consumer has the partition; nothing of what this one held back was stored.
  'buffer.overtaken': logEvent('warn', ['partition']),
  // Redis does not hold what it held: what was accepted and not inserted by then is gone.
  'buffer.data_lost': logEvent('error', ['partition', 'reason']),
  'buffer.entry_buried': logEvent('error', ['partition', 'reason', 'count'], ['requestId']),
  'buffer.unsafe': logEvent('error', ['reason']),
  'buffer.safe': logEvent('info', []),
  // One line for each attempt: at `debug`, because at thousands a second it costs more than it tells.
  'attempt.finished': logEvent(
    'debug',
    ['tenant', 'channel', 'room', 'sequence', 'attempt', 'generation', 'result', 'durationMs'],
    ['code', 'ackToSendMs', 'requestId'],
  ),
  'attempt.unknown': logEvent('warn', ['tenant', 'channel', 'room', 'sequence', 'attempt', 'reason'], ['requestId']),
  'preparation.failed': logEvent('info', ['tenant', 'channel', 'room', 'sequence', 'reason'], ['requestId']),
  'message.dead_lettered': logEvent(
    'warn',
    ['tenant', 'channel', 'room', 'sequence', 'outcome', 'reason'],
    ['requestId'],
  ),
  'room.held': logEvent('warn', ['tenant', 'channel', 'room', 'sequence', 'reason'], ['requestId']),
  'channel.state': logEvent('warn', ['channel', 'state'], ['account', 'reason']),
  'channel.configured': logEvent('info', ['channel']),
  'channel.removed': logEvent('info', ['channel']),
  'channel.shadowed': logEvent('warn', ['channel']),
  'channel.settings_refused': logEvent('error', ['channel', 'code', 'field', 'rule']),
  'webhook.address_missing': logEvent('warn', ['channel', 'code']),
  // Anyone can send forged ones: the metric counts them, a line each would drown the log.
  'webhook.refused': logEvent('debug', ['channel', 'code'], ['requestId']),
  'liveness.violated': logEvent('error', ['tenant', 'channel', 'room', 'sequence', 'state']),
  'postgres.batch_failed': logEvent('warn', ['reason', 'count'], ERROR_FIELDS),
  'postgres.unsafe': logEvent('error', ['reason']),
  'postgres.safe': logEvent('info', []),
  'database.another_history': logEvent('error', ['reason', 'stored', 'seen']),
  'database.adopted': logEvent('warn', []),
  'database.clock_set': logEvent('warn', ['durationMs']),
  'database.uncomparable': logEvent('warn', ['reason', 'rule']),
  'operator.acted': logEvent('info', ['key', 'method', 'route', 'requestId'], ['channel', 'room', 'reason']),
} as const satisfies Record<string, LogEventEntry>;

function logEvent<const R extends readonly LogField[], const O extends readonly LogField[] = readonly []>(
  level: LogLevel,
  required: R,
  optional?: O,
): { readonly level: LogLevel; readonly required: R; readonly optional: O } {
  return Object.freeze({ level, required, optional: optional ?? ([] as unknown as O) });
}

export type LogEventName = keyof typeof LOG_EVENTS;
export type LogEventFields<E extends LogEventName> = Pick<LogFieldTypes, (typeof LOG_EVENTS)[E]['required'][number]> & {
  readonly [F in (typeof LOG_EVENTS)[E]['optional'][number]]?: LogFieldTypes[F] | undefined;
};

export interface Log {
  event<E extends LogEventName>(name: E, fields: LogEventFields<E>): void;
  /** False where a line of this event would not be written: its fields need not be made. */
  writes(name: LogEventName): boolean;
  /** Writes out what is buffered, before the process ends. */
  flush(): void;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** Names this process in every line. */
  readonly node?: string;
  /** Where the JSON lines go; standard output by default. */
  readonly destination?: DestinationStream & { flushSync?(): void };
}

export function createLog(options: LogOptions): Log {
  const destination = options.destination ?? pino.destination({ fd: 1, sync: false });
  const logger = pino(
    {
      level: options.level,
      base: options.node === undefined ? {} : { node: clean(options.node) },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return {
    event(name, fields) {
      const { level, required, optional }: LogEventEntry = LOG_EVENTS[name];
      if (!logger.isLevelEnabled(level)) return;
      const given: Readonly<Record<string, unknown>> = fields;
      const line: Record<string, unknown> = { event: name };
      for (const field of [...required, ...optional]) {
        const value = given[field];
        if (value !== undefined) line[field] = typeof value === 'string' ? clean(value) : value;
      }
      logger[level](line);
    },
    writes: (name) => logger.isLevelEnabled(LOG_EVENTS[name].level),
    flush: () => destination.flushSync?.(),
  };
}

const MAX_TEXT = 2_000;

/** JSON escapes C0 only; the rest of what a terminal or a line-splitting collector could act on goes as well. */
function clean(text: string): string {
  return text.slice(0, MAX_TEXT).replace(/[\u007f-\u009f\u2028\u2029]/g, '\ufffd');
}

export type ErrorLogFields = Partial<Pick<LogFieldTypes, (typeof ERROR_FIELDS)[number]>>;

/**
 * What a log may say of an error. The message is left out on purpose: drivers and parsers quote their input in it.
 * Names, codes, Postgres constraints and stack frames tell where to look.
 */
export function errorFields(error: unknown): ErrorLogFields {
  if (!(error instanceof Error)) return { errorName: typeof error };
  const { code, syscall, constraint } = error as { code?: unknown; syscall?: unknown; constraint?: unknown };
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return {
    errorName: error.name,
    ...(typeof code === 'string' ? { code } : {}),
    ...(typeof syscall === 'string' ? { syscall } : {}),
    ...(typeof constraint === 'string' ? { constraint } : {}),
    ...(error instanceof RoomlineError && error.field !== undefined ? { field: error.field } : {}),
    ...(error instanceof RoomlineError && error.rule !== undefined ? { rule: error.rule } : {}),
    ...(frames.length === 0 ? {} : { frames: frames.slice(0, 12).join('\n') }),
  };
}

// ---------------------------------------------------------------------------------------------------------- metrics

export type IntakeSource = 'pubsub' | 'http' | 'buffer';
/**
 * What came of uploading a waiting message's media early: `prepared` and then `used`, or `refused` where the platform did
 * not know it any more; `failed`; `late`: its turn came first; `dropped`: not needed any more, or no room for it.
 */
export type PreparationResult = 'prepared' | 'used' | 'refused' | 'failed' | 'late' | 'dropped';
/** How an ack from a webhook or a lookup met its message. */
export type AckKind = 'matched' | 'late' | 'unknown' | 'ignored';
export const CHANNEL_STATES = ['open', 'slowed', 'stopped', 'ack_outage'] as const;
export type ChannelState = (typeof CHANNEL_STATES)[number];

/** The closed list of metrics, all on one registry of its own. Names as exported: `roomline_` and snake case. */
export type Metrics = ReturnType<typeof createMetrics>;

/** From a moment to the week that a queue may keep a message. */
const LONG_SECONDS = [0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 900, 3_600, 14_400, 86_400];
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export function createMetrics(options: { readonly version: string; readonly processMetrics?: boolean }) {
  const registry = new Registry();
  const registers = [registry];

  function counter<const L extends string = never>(name: string, help: string, labelNames: readonly L[] = []) {
    return new Counter({ name: `roomline_${name}`, help, labelNames, registers });
  }
  function gauge<const L extends string = never>(name: string, help: string, labelNames: readonly L[] = []) {
    return new Gauge({ name: `roomline_${name}`, help, labelNames, registers });
  }
  function histogram<const L extends string = never>(
    name: string,
    help: string,
    buckets: number[],
    labelNames: readonly L[] = [],
  ) {
    return new Histogram({ name: `roomline_${name}`, help, labelNames, buckets, registers });
  }

  /** Called before every exposition, for gauges that are read rather than counted. */
  const beforeRender = new Set<() => void>();
  const buildInfo = gauge('build_info', 'Always 1; the labels name what runs', ['version', 'node_version']);
  buildInfo.set({ version: options.version, node_version: process.versions.node }, 1);
  if (options.processMetrics === true) collectDefaultMetrics({ register: registry });

  return {
    registry,
    /** The exposition text of every metric. */
    render: () => {
      for (const update of beforeRender) update();
      return registry.metrics();
    },
    beforeRender,
    contentType: registry.contentType,

    intakeReceived: counter('intake_received_total', 'Messages that reached intake', ['source']),
    intakeDuplicates: counter('intake_duplicates_total', 'Messages that were in the store already', ['source']),
    intakeRefused: counter('intake_refused_total', 'Messages refused by intake', ['source', 'code']),
    intakeOutstanding: gauge('intake_outstanding', 'Messages received and not yet committed', ['source']),
    intakeCommitSeconds: histogram('intake_commit_seconds', 'From receipt to commit of a call', SECONDS, ['source']),
    intakeLagSeconds: histogram(
      'intake_lag_seconds',
      'From publishing to commit of a message of the queue',
      LONG_SECONDS,
    ),
    intakeOldestSeconds: gauge(
      'intake_oldest_seconds',
      'Age of the oldest message of the queue in hand, since publishing',
    ),
    bufferAppended: counter('buffer_appended_total', 'Messages accepted by appending them to the buffer'),
    bufferRefused: counter('buffer_refused_total', 'Messages that the buffer did not take, by why', ['reason']),
    bufferDepth: gauge('buffer_depth', 'Entries of a partition that its consumer here has not committed', [
      'partition',
    ]),
    bufferOldestSeconds: gauge('buffer_oldest_seconds', 'Age of the first of them', ['partition']),
    bufferLagSeconds: histogram('buffer_lag_seconds', 'From append to commit of an entry', LONG_SECONDS),
    bufferPartitions: gauge('buffer_partitions_held', 'Partitions that this process empties'),
    bufferBuried: counter('buffer_buried_total', 'Entries put aside after too many tries', ['reason']),
    bufferLosses: counter('buffer_losses_total', 'Times that a partition was found to have lost what it held', [
      'reason',
    ]),
    messagesAccepted: counter('messages_accepted_total', 'Messages committed by intake', ['source']),
    messagesSettled: counter('messages_settled_total', 'Messages settled', ['outcome', 'channel']),
    deadLetters: counter('dead_letters_total', 'Dead letters written', ['reason', 'channel']),

    attempts: counter('attempts_total', 'Attempts that ended', ['result', 'channel']),
    possibleDuplicates: counter('possible_duplicates_total', 'Sends after an unknown outcome', ['channel']),
    preparations: counter('preparations_total', 'Media of waiting messages, by what came of uploading it', [
      'result',
      'channel',
    ]),
    acksAfterTimeout: counter(
      'acks_after_timeout_total',
      'Acks of messages that had settled as assumed, by whether the ack timeout X would have waited for them',
      ['channel', 'within'],
    ),
    acks: counter('acks_total', 'Acks by how they met their message', ['kind', 'channel']),
    webhooks: counter('webhooks_total', 'Webhook requests by result', ['result', 'channel']),
    ackToNextSendSeconds: histogram(
      'ack_to_next_send_seconds',
      'From the receipt of the ack of n to the first byte of n+1',
      SECONDS,
    ),
    timeoutLatenessSeconds: histogram('timeout_lateness_seconds', 'How late a deadline was handled', SECONDS),

    claims: counter('claims_total', 'Attempts claimed'),
    casConflicts: counter('cas_conflicts_total', 'Writes refused because the room had changed'),
    casBusy: counter('cas_busy_total', 'Writes put off because the row was locked'),
    fenced: counter('fenced_total', 'Claims refused by the fence'),
    batchRows: histogram('batch_rows', 'Rows in one batch', [1, 2, 5, 10, 20, 50, 100, 200, 500], ['statement']),
    batchSeconds: histogram('batch_seconds', 'Duration of one batch', SECONDS, ['statement']),

    orderGaps: gauge('order_gaps', 'Rooms in which messages are parked behind missing numbers', ['channel']),
    orderGapOldestSeconds: gauge('order_gap_oldest_seconds', 'For how long the oldest of them has been', ['channel']),
    orderSkipped: counter('order_skipped_total', "Gaps in a publisher's order that were given up, by whom", [
      'channel',
      'by',
    ]),

    roomsActive: gauge('rooms_active', 'Rooms held in memory that have an unsettled message'),
    openSends: gauge('open_sends', 'Requests to platforms without an answer', ['channel']),
    permitQueue: gauge('permit_queue', 'Rooms that wait for a permit', ['channel']),
    ackTimeoutSeconds: gauge('ack_timeout_seconds', 'How long a message accepted now waits for its ack', ['channel']),
    channelState: gauge('channel_state', '1 for the state that the channel is in', ['channel', 'state']),
    shardsHeld: gauge('shards_held', 'Shards that this worker holds'),
    storeFailingSeconds: gauge(
      'store_failing_seconds',
      'For how long nothing of the store has worked but renewals of the lease',
    ),
    unsafeSettings: gauge('postgres_unsafe_settings', 'Settings of Postgres under which commits may be lost'),
    anotherHistory: gauge('database_another_history', '1 while the database is not the one whose past is known'),
    dependencyUp: gauge('dependency_up', '1 while a dependency serves that is not needed to be ready', ['dependency']),
    dependencyErrors: counter('dependency_errors_total', 'What failed at such a dependency', ['dependency', 'kind']),
    signalsPublished: counter('signals_published_total', 'Signals handed to Redis', ['kind']),
    signalsReceived: counter('signals_received_total', 'Signals of other processes', ['kind']),
    signalsDropped: counter('signals_dropped_total', 'Signals that went nowhere, by why', ['reason']),
    signalsLive: gauge('signals_live', '1 while signals can be expected to arrive'),
    liveReaders: gauge('live_readers', 'Readers of the live feed'),
    liveDropped: counter('live_dropped_total', 'Events of the live feed that did not reach a reader, by why', [
      'reason',
    ]),
    liveClosed: counter('live_closed_total', 'Readers of the live feed that this process sent away, by why', [
      'reason',
    ]),
    signalsUnheard: gauge('signals_unheard', 'Other processes that hear other signals than this one'),
    livenessViolations: gauge('liveness_violations', 'Claimable rooms that two sweeps in a row found unattended'),
  };
}

/** Sets the gauge of the channel's new state to 1 and of the others to 0. */
export function recordChannelState(metrics: Metrics, channel: string, state: ChannelState): void {
  for (const each of CHANNEL_STATES) metrics.channelState.set({ channel, state: each }, each === state ? 1 : 0);
}

/** Of a channel that is there no more. */
export function forgetChannelState(metrics: Metrics, channel: string): void {
  for (const state of CHANNEL_STATES) metrics.channelState.remove({ channel, state });
  metrics.permitQueue.remove({ channel });
  metrics.orderGaps.remove({ channel });
  metrics.orderGapOldestSeconds.remove({ channel });
  metrics.ackTimeoutSeconds.remove({ channel });
}

// ------------------------------------------------------------------------------------------------------- in-process

interface SettlementSeen {
  readonly room: RoomKey;
  readonly address: RoomAddress;
  readonly sequence: number;
  /** The publisher's; empty where this process does not know it. */
  readonly messageId: string;
  readonly outcome: Outcome;
  readonly reason: string;
  readonly level: AckLevel;
  readonly code: string | null;
  readonly attempts: number;
  readonly possiblyDelivered: boolean;
  /** Engine time in ms. */
  readonly at: number;
}

/** What operators' tools and tests can wait for. They stay in the process, so they name rooms plainly. */
export interface TelemetryEvents {
  'intake.committed': { readonly source: IntakeSource; readonly appended: number; readonly duplicates: number };
  'intake.refused': { readonly source: IntakeSource; readonly code: string };
  'attempt.finished': {
    readonly room: RoomKey;
    readonly sequence: number;
    readonly attempt: number;
    readonly result: AttemptResult;
    readonly durationMs: number;
  };
  'message.settled': SettlementSeen;
  /** The platform reported a failure of a message that had settled as acked or assumed. */
  'message.failed_late': SettlementSeen;
  'message.dead_lettered': { readonly room: RoomKey; readonly sequence: number; readonly reason: string };
  /** An attempt failed, or a payload was refused. */
  'failure.seen': {
    readonly channel: { readonly tenant: string; readonly channel: string } | null;
    readonly kind: 'refused' | 'unknown' | 'interrupted' | 'intake';
    readonly code: string;
    /** Of the platform's words; null where it said nothing. */
    readonly textDigest: string | null;
    /** The failure was told before; now its message has failed for good. */
    readonly again: boolean;
    readonly deadLetter: boolean;
    readonly sample: { readonly address: RoomAddress; readonly sequence: number } | null;
  };
  'ack.received': { readonly channel: string; readonly kind: AckKind };
  'channel.state': { readonly channel: string; readonly state: ChannelState; readonly reason: string | null };
  'ownership.acquired': { readonly worker: string; readonly generation: number; readonly shards: number };
  'ownership.handed_over': { readonly worker: string; readonly shards: number };
  'ownership.lost': { readonly worker: string; readonly reason: string };
  /** Numbers of a publisher's order were given up. */
  'order.skipped': { readonly address: RoomAddress; readonly first: number; readonly last: number };
  'sweep.finished': { readonly rooms: number; readonly violations: number };
  'dependency.lost': { readonly dependency: string };
  'dependency.back': { readonly dependency: string };
  'signals.changed': { readonly live: boolean };
  'database.another_history': { readonly reason: 'timeline' | 'cluster' };
  'database.adopted': Record<string, never>;
}
export type TelemetryEventName = keyof TelemetryEvents;
type Listener<E extends TelemetryEventName> = (event: TelemetryEvents[E]) => void;

/** A synchronous, typed emitter. With no listener an emit costs one look-up; use `wants` to save building the event. */
export class Telemetry {
  readonly #listeners = new Map<TelemetryEventName, Set<Listener<never>>>();

  /** Calls back for every event of this name; the returned function ends that. A listener must not throw. */
  on<E extends TelemetryEventName>(name: E, listener: Listener<E>): () => void {
    let listeners = this.#listeners.get(name);
    if (listeners === undefined) {
      listeners = new Set();
      this.#listeners.set(name, listeners);
    }
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(name) === listeners) this.#listeners.delete(name);
    };
  }

  /** The next event of this name that satisfies the condition. Rejects when the signal aborts. */
  once<E extends TelemetryEventName>(
    name: E,
    condition: (event: TelemetryEvents[E]) => boolean = () => true,
    signal?: AbortSignal,
  ): Promise<TelemetryEvents[E]> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const end = this.on(name, (event) => {
        if (!condition(event)) return;
        signal?.removeEventListener('abort', abort);
        end();
        resolve(event);
      });
      const abort = () => {
        end();
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  wants(name: TelemetryEventName): boolean {
    return this.#listeners.has(name);
  }

  emit<E extends TelemetryEventName>(name: E, event: TelemetryEvents[E]): void {
    const listeners = this.#listeners.get(name);
    if (listeners === undefined) return;
    for (const listener of [...listeners]) (listener as Listener<E>)(event);
  }
}
