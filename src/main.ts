/** The composition root: one process with everything. Starts in the order of the data path, stops in reverse. */
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { createPostgres } from './adapters/postgres/postgres.ts';
import { createPubSubIntake } from './adapters/pubsub/subscriber.ts';
import { createRedisBuffer } from './adapters/redis/buffer.ts';
import { createRedis } from './adapters/redis/redis.ts';
import { createSystemClock } from './adapters/system-clock.ts';
import { ChannelRegistry } from './channel-registry.ts';
import { environmentName } from './config/environment.ts';
import { allowedSecrets, type Configuration, loadConfiguration } from './config.ts';
import { explainHistory } from './engine/another-history.ts';
import { Buffer } from './engine/buffer.ts';
import { BufferedPublishing } from './engine/buffer-publishing.ts';
import { DeadLetters } from './engine/dead-letters.ts';
import { createEngine } from './engine/engine.ts';
import { createFailureCounter } from './engine/failures.ts';
import { FleetOperations } from './engine/fleet-operations.ts';
import type { AnotherHistory } from './engine/fleet-ports.ts';
import type { Instruments } from './engine/instruments.ts';
import { Live } from './engine/live.ts';
import { MESSAGE_LIMITS, parseMessage } from './engine/message.ts';
import { Reporter } from './engine/pipeline.ts';
import { channelName } from './engine/policy.ts';
import type { ChannelKey } from './engine/ports.ts';
import { Recipients } from './engine/recipients.ts';
import { createReferences } from './engine/reference.ts';
import { type Service, serviceGroup } from './engine/service.ts';
import { Steering } from './engine/steering.ts';
import { RoomlineError } from './errors.ts';
import { admitted, createAnswers } from './http/answers.ts';
import { findInStoreOrBuffer } from './http/buffered-messages.ts';
import type { DevelopmentDesk } from './http/development.ts';
import { FakePlatform } from './http/fake-platform.ts';
import { LiveHub } from './http/live-hub.ts';
import { createPipelineAnswers } from './http/pipeline-answers.ts';
import { createHttpServer } from './http/server.ts';
import { webhookUrlOf } from './platforms/platform.ts';
import { createPlatformChannel, mayLackAcks } from './platforms/registry.ts';
import { createLog, createMetrics, errorFields, type Log, recipientHasher, Telemetry } from './telemetry.ts';
import { startWatchdog } from './watchdog/watchdog.ts';

export interface ServeOptions {
  readonly configFile?: string | undefined;
  /** Goes before what the configuration says. */
  readonly roles?: string | undefined;
}

/** Runs until a signal or a failure ends it; resolves when everything has stopped. */
export async function serve(options: ServeOptions): Promise<void> {
  const { configFile, roles } = options;
  const env = roles === undefined ? process.env : { ...process.env, [environmentName(['node', 'roles'])]: roles };
  const configuration = loadConfiguration({ file: configFile, env });
  const { config } = configuration;
  const log = createLog({
    level: config.log.level,
    ...(config.node.name === undefined ? {} : { node: config.node.name }),
  });
  const ended = Promise.withResolvers<number>();
  const end = endOnce(log, ended.resolve);
  endOnSignals((signal) => end.signal(signal));
  process.once('uncaughtException', (error) => end.failure('uncaught_exception', error));
  process.once('unhandledRejection', (error) => end.failure('unhandled_rejection', error));

  const system = await createSystem(configuration, env, log, (error) => end.failure('engine', error)).catch(
    (error: unknown) => {
      // What is wrong with the settings or the database is for the command to say.
      if (error instanceof RoomlineError) throw error;
      end.failure('start', error);
      return null;
    },
  );
  if (system === null) {
    process.exitCode = 1;
    return;
  }
  log.event('process.started', { version: VERSION, nodeVersion: process.versions.node });
  if (config.node.roles.includes('worker')) {
    // The first process of a container cannot be killed from inside: its own thread could not end it.
    if (process.pid === 1) log.event('watchdog.powerless', {});
    const limitMs = config.ownership.stallLimitMs ?? config.ownership.leaseMs;
    const { level } = config.log;
    const { name: node } = config.node;
    await startWatchdog({ limitMs, level, node, onFailure: (error) => end.failure('watchdog', error) });
  }
  try {
    await system.start();
  } catch (error) {
    end.failure('start', error);
  }
  const exitCode = await ended.promise;
  const startedAt = performance.now();
  const deadline = setTimeout(() => {
    log.event('process.failed', { reason: 'the stop took too long' });
    log.flush();
    process.exit(1);
  }, config.node.stopTimeoutMs);
  await system.stop().catch((error: unknown) => {
    log.event('process.failed', { reason: 'stop', ...errorFields(error) });
    process.exitCode = 1;
  });
  clearTimeout(deadline);
  log.event('process.stopped', { durationMs: Math.round(performance.now() - startedAt) });
  log.flush();
  if (exitCode !== 0) process.exitCode = exitCode;
}

const VERSION = (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string })
  .version;

/** A signal to a whole process group comes twice where another process passes its own on: so soon, it is the same one. */
const SAME_SIGNAL_MS = 2_000;

/** The first one ends in good order; one that comes later than that ends at once. */
function endOnSignals(end: (signal: NodeJS.Signals) => void): void {
  let firstAt: number | null = null;
  const heard = (signal: NodeJS.Signals): void => {
    if (firstAt === null) {
      firstAt = performance.now();
      end(signal);
    } else if (performance.now() - firstAt > SAME_SIGNAL_MS) {
      process.removeListener(signal, heard);
      process.kill(process.pid, signal);
    }
  };
  process.on('SIGTERM', heard);
  process.on('SIGINT', heard);
}

function endOnce(log: Log, resolve: (exitCode: number) => void) {
  return {
    signal(signal: string): void {
      log.event('process.stopping', { signal });
      resolve(0);
    },
    failure(reason: string, error: unknown): void {
      log.event('process.failed', { reason, ...errorFields(error) });
      log.flush();
      resolve(1);
    },
  };
}

async function createSystem(
  { config, readChannel }: Configuration,
  env: NodeJS.ProcessEnv,
  log: Log,
  onFailure: (error: unknown) => void,
): Promise<Service> {
  const metrics = createMetrics({ version: VERSION, processMetrics: true });
  const secret = config.reference.secret.reveal();
  const instruments: Instruments = { log, metrics, telemetry: new Telemetry(), hash: recipientHasher(secret) };
  const clock = createSystemClock();
  const references = createReferences(secret);
  const postgres = await createPostgres({
    ...config.postgres,
    url: config.postgres.url.reveal(),
    instruments,
    clock,
    onFailure,
  });
  const { stores, shards } = postgres;
  const { url: redisUrl } = config.redis;
  const redis =
    redisUrl === undefined
      ? null
      : createRedis({ ...config.redis, url: redisUrl.reveal() }, { instruments, clock, chance: Math.random });

  const wallClockMs = (): number => Date.now();
  const { secretVariables: variables, secretDirectory: directory } = config.channelSettings;
  const registry = new ChannelRegistry({
    config,
    readChannel,
    secrets: allowedSecrets({ variables, directory }, env),
    operators: postgres.operators,
    createClient: (channel, key) => {
      const webhookUrl = webhookUrlOf(config.http.publicUrl, key);
      if (mayLackAcks(channel.platform, channel.unlockedBy, webhookUrl)) {
        log.event('webhook.address_missing', { channel: channelName(key), code: 'public_url_missing' });
      }
      return createPlatformChannel(channel.platform, channel, { wallClockMs, webhookUrl });
    },
    signals: redis?.signals ?? null,
    clock,
    instruments,
    onFailure,
  });
  await registry.load();
  const platform = (key: ChannelKey) => registry.platform(key);

  const { recipients: recipientStore } = postgres.operators;
  const recipients = new Recipients({ store: recipientStore, clock, instruments, onFailure });
  const engine = createEngine(
    {
      name: config.node.name ?? hostname(),
      roles: config.node.roles,
      weight: config.ownership.weight,
      shards,
      lanes: config.postgres.lanes,
      maxBatchRows: config.batching.maxRows,
      maxIntakeRows: config.batching.maxIntakeRows,
      maxWaiting: config.batching.maxWaiting,
      maxWaitingBytes: config.batching.maxWaitingBytes,
      lingerMs: config.batching.lingerMs,
      acceptanceLingerMs: config.batching.acceptanceLingerMs,
      bodyCacheBytes: config.memory.bodyCacheBytes,
      leaseMs: config.ownership.leaseMs,
      renewEveryMs: config.ownership.renewEveryMs,
      pollEveryMs: config.ownership.pollEveryMs,
      hears: redisUrl === undefined ? 'none' : digestOf(config.redis.keyPrefix),
      sweepEveryMs: config.ownership.sweepEveryMs,
      sweepWithoutSignalsMs: config.ownership.sweepWithoutSignalsMs,
    },
    {
      stores,
      clock,
      chance: Math.random,
      endOfTurn: setImmediate,
      references,
      recipients,
      channels: registry.settings(),
      platform,
      sharedRates: redis?.sharedRates ?? null,
      signals: redis?.signals ?? null,
      instruments,
      newWorkerId: randomUUID,
      isPermanent: postgres.isPermanent,
      onFailure,
    },
  );

  registry.connect(engine);
  const { pipeline } = postgres.operators;
  const reporter = new Reporter({
    ...engine,
    buffering: () => publishing?.accepting.all() ?? [],
    store: pipeline,
    clock,
    endOfTurn: setImmediate,
    instruments,
    onFailure,
  });

  const live = new Live({
    bus: redis?.live ?? null,
    reporter,
    channels: engine.channels,
    references,
    telemetry: instruments.telemetry,
    clock,
    teller: randomUUID(),
    onFailure,
  });

  const answers = createAnswers({ engine, stores, references, clock, shards, platform, wallClockMs, pipeline });
  const queue =
    config.pubsub.enabled && config.node.roles.includes('intake')
      ? createPubSubIntake(
          {
            projectId: config.pubsub.projectId ?? '',
            subscription: config.pubsub.subscription ?? '',
            topic: config.pubsub.topic ?? null,
            endpoint: config.pubsub.endpoint ?? null,
            maxOutstandingMessages: config.pubsub.maxOutstandingMessages,
            maxOutstandingBytes: config.pubsub.maxOutstandingBytes,
          },
          {
            parse(payload, fallbackId, now) {
              const parsed = parseMessage(payload, MESSAGE_LIMITS, answers.findChannel);
              return 'error' in parsed
                ? parsed.error
                : admitted(parsed.ok, { shards, now, source: 'pubsub', fallbackId });
            },
            accept: (message) => engine.intake.accept(message),
            deadLetters: stores.deadLetters,
            mayStore: () => engine.ownership.anotherHistory === null,
            clock,
            instruments,
          },
        )
      : null;

  const buffered = config.intake.mode === 'buffered';
  // What was accepted into a buffer goes on to be inserted, whatever the mode is now.
  const partitions = buffered ? config.intake.partitions : await postgres.bufferCursors.layOut(0);
  const bufferStreams =
    redisUrl === undefined || partitions === 0
      ? null
      : createRedisBuffer(
          { ...config.redis, url: redisUrl.reveal(), commandTimeoutMs: config.intake.redisTimeoutMs },
          { instruments, clock, chance: Math.random },
        );
  const buffer =
    bufferStreams === null
      ? null
      : new Buffer({
          streams: bufferStreams.streams,
          cursors: postgres.bufferCursors,
          accept: (messages, move) => engine.intake.acceptBuffered(messages, move),
          deadLetters: stores.deadLetters,
          rules: {
            findChannel: answers.findChannel,
            admit: (draft, fallbackId) => admitted(draft, { shards, now: clock.now(), source: 'buffer', fallbackId }),
          },
          seekChannel: (key) => registry.seek(key),
          isPermanent: postgres.isPermanent,
          mayStore: () => engine.ownership.clockIsSet && engine.ownership.anotherHistory === null,
          partitions,
          consumes: config.node.roles.includes('intake'),
          allowsUnsafe: config.intake.allowUnsafeRedis,
          maxRows: config.batching.maxIntakeRows,
          maxTries: config.intake.maxTries,
          leaseMs: config.intake.leaseMs,
          consumer: randomUUID(),
          clock,
          endOfTurn: setImmediate,
          instruments,
          onFailure,
        });
  const publishing =
    !buffered || bufferStreams === null || buffer === null
      ? null
      : new BufferedPublishing({
          streams: bufferStreams.streams,
          partitions,
          bound: {
            entries: Math.ceil(config.intake.maxBufferedMessages / partitions),
            bytes: Math.ceil(config.intake.maxBufferedBytes / partitions),
          },
          maxWaiting: config.batching.maxWaiting,
          refusal: () => buffer.refusal(),
          newMessageId: () => `http:${randomUUID()}`,
          instruments,
        });

  const fleet = new FleetOperations({
    store: postgres.operators.fleet,
    audit: postgres.operators.audit,
    signals: redis?.signals ?? null,
    clock,
  });
  const { audit, letters, failures } = postgres.operators;
  const desk = { history: stores.history, references, clock, shards };
  const { enabled: inDevelopment, platformUrl } = config.development;
  const development: DevelopmentDesk = {
    database: () => postgres.development.database(),
    async reset(by) {
      await postgres.development.reset({ ...by, action: 'database.reset', subject: 'database', detail: {} });
      // The others find out by their next renewal.
      engine.ownership.suspect(engine.ownership.proof()?.generation ?? 0);
    },
    platform: platformUrl === undefined ? null : new FakePlatform(platformUrl),
  };
  // A process that accepts into the buffer goes on to do so without the store.
  const beside = publishing === null || !config.node.roles.includes('api') ? {} : { needed: false };
  const soon = (ready: ReturnType<typeof postgres.readiness>): typeof ready => {
    const { promise, resolve } = Promise.withResolvers<Awaited<typeof ready>>();
    const cancel = clock.after(READINESS_MS, () => resolve({ name: 'postgres', ok: false, detail: 'does not answer' }));
    return Promise.race([promise, ready.finally(cancel)]);
  };
  const http = createHttpServer(
    { ...config.http, keys: config.auth.keys, roles: config.node.roles },
    {
      ...answers,
      ...(publishing === null
        ? {}
        : {
            publish: (draft) => publishing.publish(draft),
            publishAll: (drafts) => publishing.publishAll(drafts),
          }),
      ...(buffer === null || bufferStreams === null
        ? {}
        : {
            buffer: { buffer, streams: bufferStreams.streams, audit },
            findRoomMessage: findInStoreOrBuffer({
              find: answers.findRoomMessage,
              streams: bufferStreams.streams,
              partitions,
              clock,
            }),
          }),
      channelAdmin: registry,
      ...(inDevelopment ? { development } : {}),
      live: new LiveHub({ ...config.live, live, clock, metrics, shards }),
      pipeline: createPipelineAnswers({
        engine,
        rooms: stores.rooms,
        store: pipeline,
        recipients: recipientStore,
        buffer,
        references,
        clock,
        shards,
      }),
      fleet,
      steering: {
        steering: new Steering({
          rooms: engine.rooms,
          gaps: engine.gaps,
          store: stores.rooms,
          audit,
          hash: instruments.hash,
          ...desk,
        }),
        letters: new DeadLetters({
          letters,
          audit,
          publish: answers.publishAll,
          findChannel: answers.findChannel,
          ...desk,
        }),
        failures,
        rooms: stores.rooms,
        ...desk,
      },
      readiness: async () => [
        { ...(await (publishing === null ? postgres.readiness() : soon(postgres.readiness()))), ...beside },
        { ...databaseReadiness(engine.ownership.anotherHistory), ...beside },
        {
          name: 'ownership',
          ok: engine.ownership.isAlive,
          detail: `${engine.ownership.shards.size} of ${shards} shards held`,
          ...beside,
        },
        ...(publishing === null || buffer === null ? [] : [buffer.readiness()]),
        ...(queue === null
          ? []
          : [{ name: 'pubsub', ok: queue.trouble() === null, detail: queue.trouble() ?? 'messages flow' }]),
      ],
      metricsText: async () => ({ contentType: metrics.contentType, text: await metrics.render() }),
      sharedBudgets: redis?.sharedBudgets ?? null,
      wallClockMs,
      log,
      metrics,
    },
  );

  return serviceGroup('roomline', [
    ...(redis === null ? [] : [redis.service]),
    ...(bufferStreams === null ? [] : [bufferStreams.service]),
    postgres.service,
    registry.clients,
    // Stops after all that it counts.
    reporter.service,
    live.service,
    createFailureCounter({ store: failures, clock, instruments, onFailure }),
    recipients.service,
    http.service,
    engine.service,
    registry.following,
    ...(buffer === null ? [] : [buffer.service]),
    postgres.restService(() => [...engine.ownership.shards]),
    ...(queue === null ? [] : [queue.service]),
  ]);
}

/** How long it is waited for what is not needed to be ready: whoever asks does not wait long either. */
const READINESS_MS = 500;

/** The same in all processes that hear each other's signals; where Redis is, each may call otherwise. */
function digestOf(keyPrefix: string): string {
  return createHash('sha256').update(keyPrefix).digest('hex').slice(0, 16);
}

function databaseReadiness(anotherHistory: AnotherHistory | null): { name: string; ok: boolean; detail: string } {
  if (anotherHistory === null) return { name: 'database', ok: true, detail: 'its past is the known one' };
  return { name: 'database', ok: false, detail: explainHistory(anotherHistory) };
}
