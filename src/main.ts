/** The composition root: one process with everything. Starts in the order of the data path, stops in reverse. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createPostgres } from './adapters/postgres/postgres.ts';
import { createPubSubIntake } from './adapters/pubsub/subscriber.ts';
import { createRedis } from './adapters/redis/redis.ts';
import { createSystemClock } from './adapters/system-clock.ts';
import { type Config, loadConfig } from './config.ts';
import { createEngine } from './engine/engine.ts';
import type { Instruments } from './engine/instruments.ts';
import { MESSAGE_LIMITS, parseMessage } from './engine/message.ts';
import { explainHistory } from './engine/ownership.ts';
import { type ChannelSettings, channelName } from './engine/policy.ts';
import type { AnotherHistory, ChannelKey, PlatformChannel } from './engine/ports.ts';
import { createReferences } from './engine/reference.ts';
import { defineService, type Service, serviceGroup } from './engine/service.ts';
import { RoomlineError } from './errors.ts';
import { admitted, createAnswers } from './http/answers.ts';
import { createHttpServer } from './http/server.ts';
import { createPlatformChannel } from './platforms/registry.ts';
import { createLog, createMetrics, errorFields, type Log, recipientHasher, Telemetry } from './telemetry.ts';

export interface ServeOptions {
  readonly configFile?: string | undefined;
}

/** Runs until a signal or a failure ends it; resolves when everything has stopped. */
export async function serve(options: ServeOptions): Promise<void> {
  const config = loadConfig({ file: options.configFile });
  const log = createLog({
    level: config.log.level,
    ...(config.node.name === undefined ? {} : { node: config.node.name }),
  });
  const ended = Promise.withResolvers<number>();
  const end = endOnce(log, ended.resolve);
  process.once('SIGTERM', () => end.signal('SIGTERM'));
  process.once('SIGINT', () => end.signal('SIGINT'));
  process.once('uncaughtException', (error) => end.failure('uncaught_exception', error));
  process.once('unhandledRejection', (error) => end.failure('unhandled_rejection', error));

  const system = await createSystem(config, log, (error) => end.failure('engine', error)).catch((error: unknown) => {
    // What is wrong with the settings or the database is for the command to say.
    if (error instanceof RoomlineError) throw error;
    end.failure('start', error);
    return null;
  });
  if (system === null) {
    process.exitCode = 1;
    return;
  }
  log.event('process.started', { version: VERSION, nodeVersion: process.versions.node });
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

async function createSystem(config: Config, log: Log, onFailure: (error: unknown) => void): Promise<Service> {
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

  const platforms = new Map<string, PlatformChannel>();
  const wallClockMs = (): number => Date.now();
  for (const channel of config.channels) {
    const key = { tenant: channel.tenant, channel: channel.name };
    const webhookUrl = webhookUrlOf(config.http.publicUrl, key);
    platforms.set(channelName(key), createPlatformChannel(channel.platform, channel, { wallClockMs, webhookUrl }));
  }
  const platform = (key: ChannelKey): PlatformChannel | null => platforms.get(channelName(key)) ?? null;

  const engine = createEngine(
    {
      shards,
      lanes: config.postgres.lanes,
      maxBatchRows: config.batching.maxRows,
      maxWaiting: config.batching.maxWaiting,
      lingerMs: config.batching.lingerMs,
      bodyCacheBytes: config.memory.bodyCacheBytes,
      leaseMs: config.ownership.leaseMs,
      renewEveryMs: config.ownership.renewEveryMs,
      sweepEveryMs: config.ownership.sweepEveryMs,
    },
    {
      stores,
      clock,
      chance: Math.random,
      references,
      channels: config.channels.map(channelSettings),
      platform,
      sharedRates: redis?.sharedRates ?? null,
      instruments,
      newWorkerId: randomUUID,
      isPermanent: postgres.isPermanent,
      onFailure,
    },
  );

  const answers = createAnswers({ engine, stores, references, clock, shards, platform, wallClockMs });
  const queue = config.pubsub.enabled
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

  const http = createHttpServer(
    { ...config.http, keys: config.auth.keys },
    {
      ...answers,
      readiness: async () => [
        await postgres.readiness(),
        databaseReadiness(engine.ownership.anotherHistory),
        {
          name: 'ownership',
          ok: engine.ownership.shards.size > 0,
          detail: `${engine.ownership.shards.size} of ${shards} shards held`,
        },
        ...(queue === null
          ? []
          : [{ name: 'pubsub', ok: queue.trouble() === null, detail: queue.trouble() ?? 'messages flow' }]),
      ],
      metricsText: async () => ({ contentType: metrics.contentType, text: await metrics.render() }),
      wallClockMs,
      log,
      metrics,
    },
  );

  const clients = defineService('platforms', (scope) => {
    scope.onStop(async () => {
      await Promise.all([...platforms.values()].map((each) => each.close()));
    });
  });
  return serviceGroup('roomline', [
    ...(redis === null ? [] : [redis.service]),
    postgres.service,
    clients,
    http.service,
    engine.service,
    postgres.restService(() => [...engine.ownership.shards]),
    ...(queue === null ? [] : [queue.service]),
  ]);
}

/** Where a platform calls a channel, as the outside sees it. */
function webhookUrlOf(publicUrl: string | undefined, { tenant, channel }: ChannelKey): string | null {
  return publicUrl === undefined ? null : `${publicUrl.replace(/\/+$/, '')}/v1/webhooks/${tenant}/${channel}`;
}

function databaseReadiness(anotherHistory: AnotherHistory | null): { name: string; ok: boolean; detail: string } {
  if (anotherHistory === null) return { name: 'database', ok: true, detail: 'its past is the known one' };
  return { name: 'database', ok: false, detail: explainHistory(anotherHistory) };
}

function channelSettings(channel: Config['channels'][number]): ChannelSettings {
  return {
    key: { tenant: channel.tenant, channel: channel.name },
    account: channel.account,
    platform: channel.platform,
    policy: channel,
    sendTimeoutMs: channel.sendTimeoutMs,
    maxConcurrentSends: channel.maxConcurrentSends,
    channelLimit: channel.channelLimit,
    accountLimit: channel.accountLimit,
    echoesReference: channel.echoesReference,
    ackOutage: channel.ackOutage,
    probe: channel.probe,
  };
}
