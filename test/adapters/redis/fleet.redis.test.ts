/** Two engines on one store: one holds the rooms, the other takes messages and acks. Redis comes, goes and freezes. */
import { randomUUID } from 'node:crypto';
import { Redis as Admin } from 'ioredis';
import { afterEach, expect, it } from 'vitest';
import { freePort } from '../../../simulators/free-port.ts';
import { faultyStores } from '../../../src/adapters/memory/faulty.ts';
import { createMemoryStores } from '../../../src/adapters/memory/stores.ts';
import { createRedis } from '../../../src/adapters/redis/redis.ts';
import { createSystemClock } from '../../../src/adapters/system-clock.ts';
import { createEngine, type Engine } from '../../../src/engine/engine.ts';
import type { PlatformChannel, Signals, Stores } from '../../../src/engine/ports.ts';
import { createReferences } from '../../../src/engine/reference.ts';
import { describeRedis } from '../../support/describe-redis.ts';
import { CHANNEL, channelOf, messageOf, SHARDS, statusOf } from '../../support/engine.ts';
import { eventually } from '../../support/events.ts';
import { ALL_ROLES } from '../../support/fleet.ts';
import { RedisServer, startRedis } from '../../support/redis.ts';
import { Instrumented } from './fixture.ts';

const REFERENCES = createReferences('a secret of this test');

/** The sweep never comes in time: only signals and looks move rooms. */
const SWEEP_MS = 600_000;
const LOOK_MS = 250;

interface Member {
  readonly engine: Engine;
  readonly signals: Signals;
  /** Looks at what was written lately. */
  looks: number;
}

describeRedis('a fleet of two', (program) => {
  const ends: (() => Promise<void>)[] = [];
  const failures: unknown[] = [];
  /** `room/sequence` of every request that the platform received. */
  const sent: string[] = [];
  let messages = 0;

  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
    expect(failures.splice(0)).toEqual([]);
    sent.length = 0;
  });

  const platform: PlatformChannel = {
    senderId: null,
    checkContent: null,
    lookup: null,
    handshake: null,
    send: async ({ body, reference }) => {
      const { to } = JSON.parse(new TextDecoder().decode(body)) as { to: string };
      sent.push(`${to}/${REFERENCES.decode(reference)?.sequence}`);
      return { kind: 'accepted', platformId: null, platformAt: null, duplicate: false };
    },
    verify: () => ({ kind: 'verified' }),
    readStatuses: () => [],
    close: () => Promise.resolve(),
  };

  async function memberOf(url: string, database: Stores, roles: readonly string[]): Promise<Member> {
    const instruments = new Instrumented();
    const clock = createSystemClock();
    const redis = createRedis(
      { url, keyPrefix: 'test:', connectTimeoutMs: 1_000, commandTimeoutMs: 250 },
      { instruments, clock, chance: Math.random },
    );
    ends.push(() => redis.service.stop());
    await redis.service.start();
    const stores = faultyStores(database, {
      interpose: ({ method }) => {
        if (method === 'changedSince') member.looks++;
        return 'run';
      },
      clock,
    });
    const engine = createEngine(
      {
        name: randomUUID(),
        roles,
        weight: 1,
        shards: SHARDS,
        lanes: 2,
        maxBatchRows: 100,
        maxWaiting: 10_000,
        maxWaitingBytes: 134_217_728,
        lingerMs: 1,
        acceptanceLingerMs: 0,
        bodyCacheBytes: 1_000_000,
        leaseMs: 10_000,
        renewEveryMs: 500,
        pollEveryMs: 250,
        sweepEveryMs: SWEEP_MS,
        sweepWithoutSignalsMs: LOOK_MS,
      },
      {
        stores,
        clock,
        chance: Math.random,
        endOfTurn: setImmediate,
        references: REFERENCES,
        channels: [channelOf({ policy: { ackTimeoutMs: SWEEP_MS } })],
        platform: () => platform,
        sharedRates: null,
        signals: redis.signals,
        instruments,
        newWorkerId: randomUUID,
        isPermanent: () => false,
        onFailure: (error) => failures.push(error),
      },
    );
    const member: Member = { engine, signals: redis.signals, looks: 0 };
    ends.push(() => engine.service.stop());
    await engine.service.start();
    return member;
  }

  async function fleetOf(url: string): Promise<{ holder: Member; outside: Member }> {
    const database = createMemoryStores({ shards: SHARDS, now: Date.now, anotherHistory: () => null });
    const holder = await memberOf(url, database, ALL_ROLES);
    const outside = await memberOf(url, database, ['intake', 'webhook']);
    return { holder, outside };
  }

  async function untilLive({ holder, outside }: { holder: Member; outside: Member }, live = true): Promise<void> {
    await eventually(`live is ${live}`, () => holder.signals.live === live && outside.signals.live === live);
  }

  /** Two messages to a new room; the ack of the first comes elsewhere. */
  async function deliver({ outside }: { outside: Member }): Promise<void> {
    const room = `room-${++messages}`;
    const [first] = await Promise.all(['a', 'b'].map((id) => outside.engine.intake.accept(messageOf(room, id))));
    await eventually('the first is sent', () => sent.includes(`${room}/1`), { everyMs: 1 });
    const reference = (first as { reference: string }).reference;
    await outside.engine.acks.receive(CHANNEL, [statusOf({ reference })]);
    await eventually('the second is sent', () => sent.includes(`${room}/2`), { everyMs: 1 });
    expect(sent.filter((one) => one.startsWith(`${room}/`))).toEqual([`${room}/1`, `${room}/2`]);
  }

  /** At full speed: by signals alone. */
  async function deliverBySignals(fleet: { holder: Member; outside: Member }): Promise<void> {
    await untilLive(fleet);
    // One look more makes up for what was missed.
    await eventually('it delivers without looks', async () => {
      const before = fleet.holder.looks;
      for (let n = 0; n < 20; n++) await deliver(fleet);
      return fleet.holder.looks === before;
    });
  }

  it('delivers by signals, and Redis may be flushed under it', async () => {
    const server = await startRedis(program);
    ends.push(() => server.stop());
    const fleet = await fleetOf(server.url);
    await deliverBySignals(fleet);
    const admin = new Admin(server.url);
    ends.push(async () => admin.disconnect());
    await admin.flushall();
    await admin.script('FLUSH');
    await deliverBySignals(fleet);
  });

  it('goes on while Redis is killed or frozen, and is back at full speed with it', async () => {
    const server = await startRedis(program);
    ends.push(() => server.stop());
    const fleet = await fleetOf(server.url);
    await deliverBySignals(fleet);

    await server.kill();
    await deliver(fleet);
    await untilLive(fleet, false);
    for (let n = 0; n < 3; n++) await deliver(fleet);
    await server.start();
    await deliverBySignals(fleet);

    server.pause();
    await deliver(fleet);
    await untilLive(fleet, false);
    for (let n = 0; n < 3; n++) await deliver(fleet);
    server.resume();
    await deliverBySignals(fleet);
  });

  it('goes on where Redis was never there, and takes it up when it comes', async () => {
    const port = await freePort();
    const server = new RedisServer(program, {}, port);
    ends.push(() => server.stop());
    const fleet = await fleetOf(`redis://127.0.0.1:${port}`);
    for (let n = 0; n < 3; n++) await deliver(fleet);
    await server.start();
    await deliverBySignals(fleet);
  });
});
