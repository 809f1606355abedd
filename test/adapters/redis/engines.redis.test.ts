/** Two whole engines, each with a database of its own, that send through one sender and share its limit over Redis. */
import { randomUUID } from 'node:crypto';
import { Redis as Admin } from 'ioredis';
import { afterEach, expect, it } from 'vitest';
import { createMemoryStores } from '../../../src/adapters/memory/stores.ts';
import { createSystemClock } from '../../../src/adapters/system-clock.ts';
import { createEngine, type Engine } from '../../../src/engine/engine.ts';
import type { PlatformChannel, SendRequest, SharedRates } from '../../../src/engine/ports.ts';
import { createReferences } from '../../../src/engine/reference.ts';
import { describeRedis } from '../../support/describe-redis.ts';
import { channelOf, messageOf, SHARDS } from '../../support/engine.ts';
import { eventually } from '../../support/events.ts';
import { ALL_ROLES } from '../../support/fleet.ts';
import { type RedisServer, startRedis } from '../../support/redis.ts';
import { Client, type Instrumented } from './fixture.ts';

const LIMIT = { perSecond: 200, burst: 20 };
/** Of each engine, one in each room. */
const MESSAGES = 150;

describeRedis('two engines on one limit', (program) => {
  const ends: (() => Promise<void>)[] = [];
  /** When the platform received each request, on the clock of this process. */
  const sends: number[] = [];
  const failures: unknown[] = [];

  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
    sends.length = 0;
    expect(failures.splice(0)).toEqual([]);
  });

  async function start(server: RedisServer): Promise<Engine> {
    const client = await new Client({ url: server.url }).untilUp();
    ends.push(() => client.connection.close());
    const engine = engineOf(client.rates, client.instruments);
    ends.push(() => engine.service.stop());
    await engine.service.start();
    return engine;
  }

  function engineOf(sharedRates: SharedRates, instruments: Instrumented): Engine {
    const clock = createSystemClock();
    const stores = createMemoryStores({ shards: SHARDS, now: Date.now, anotherHistory: () => null });
    return createEngine(
      {
        shards: SHARDS,
        lanes: 2,
        maxBatchRows: 100,
        maxWaiting: 10_000,
        maxWaitingBytes: 134_217_728,
        lingerMs: 1,
        acceptanceLingerMs: 0,
        bodyCacheBytes: 1_000_000,
        leaseMs: 10_000,
        renewEveryMs: 2_000,
        sweepEveryMs: 5_000,
        sweepWithoutSignalsMs: 250,
        pollEveryMs: 250,
        name: 'node',
        roles: ALL_ROLES,
        weight: 1,
      },
      {
        stores,
        clock,
        chance: Math.random,
        endOfTurn: setImmediate,
        references: createReferences('a secret of this test'),
        channels: [channelOf({ channelLimit: LIMIT, policy: { unlockedBy: 'accepted' } })],
        platform: () => platform,
        sharedRates,
        signals: null,
        instruments,
        newWorkerId: randomUUID,
        isPermanent: () => false,
        onFailure: (error) => failures.push(error),
      },
    );
  }

  const platform: PlatformChannel = {
    senderId: null,
    checkContent: null,
    handshake: null,
    lookup: null,
    send: async ({ reference }: SendRequest) => {
      sends.push(performance.now());
      return { kind: 'accepted', platformId: reference, platformAt: null, duplicate: false };
    },
    verify: () => ({ kind: 'verified' }),
    readStatuses: () => [],
    close: () => Promise.resolve(),
  };

  let published = 0;
  /** A message in each of so many rooms of each engine. */
  async function publish(engines: readonly Engine[], rooms = MESSAGES): Promise<void> {
    const id = `m${++published}`;
    const messages = Array.from({ length: rooms }, (_, n) => messageOf(`room ${n}`, id, { acceptedAt: Date.now() }));
    await Promise.all(engines.flatMap((engine) => messages.map((message) => engine.intake.accept(message))));
  }

  it('keep it together', async () => {
    const server = await startRedis(program);
    ends.push(() => server.stop());
    const engines = [await start(server), await start(server)];
    const begun = performance.now();
    await publish(engines);
    await eventually('everything was sent', () => sends.length >= 2 * MESSAGES);
    expect(sends).toHaveLength(2 * MESSAGES);
    // No send can be earlier than its token: exact, however slow this machine is.
    const early = sends.filter((at, n) => n + 1 > LIMIT.burst + ((at - begun) * LIMIT.perSecond) / 1_000 + 0.5);
    expect(early).toEqual([]);
    const lastMs = (sends.at(-1) as number) - begun;
    expect(lastMs).toBeLessThan((2 * ((2 * MESSAGES - LIMIT.burst) * 1_000)) / LIMIT.perSecond);
  });

  it.each([
    {
      what: 'is killed',
      lose: (server: RedisServer) => server.kill(),
      regain: (server: RedisServer) => server.start(),
    },
    {
      what: 'stops answering',
      lose: async (server: RedisServer) => server.pause(),
      regain: async (server: RedisServer) => server.resume(),
    },
  ])('go on by their shares when Redis $what, and share again when it is back', async ({ lose, regain }) => {
    const server = await startRedis(program);
    ends.push(() => server.stop());
    const engines = [await start(server), await start(server)];
    const publishing = publish(engines);
    await eventually('some were sent', () => sends.length >= 2 * LIMIT.burst);
    await lose(server);
    expect(sends.length).toBeLessThan(2 * MESSAGES);
    await publishing;
    await eventually('everything was sent', () => sends.length >= 2 * MESSAGES);
    expect(sends).toHaveLength(2 * MESSAGES);

    await regain(server);
    const admin = new Admin(server.url);
    ends.push(async () => admin.disconnect());
    await admin.flushall();
    let more = 0;
    await eventually('tokens come from Redis', async () => {
      await publish(engines, 1);
      more += engines.length;
      return (await admin.keys('*')).includes('test:rate:{channel default/support}');
    });
    await eventually('everything was sent', () => sends.length >= 2 * MESSAGES + more);
    expect(sends).toHaveLength(2 * MESSAGES + more);
  });
});
