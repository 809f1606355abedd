/** The live feed between processes over a real Redis that is killed and comes back. */
import { randomUUID } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import { freePort } from '../../../simulators/free-port.ts';
import { createRedis } from '../../../src/adapters/redis/redis.ts';
import { createSystemClock } from '../../../src/adapters/system-clock.ts';
import { Live } from '../../../src/engine/live.ts';
import type { Interest, LivePart, Settlement } from '../../../src/engine/live-ports.ts';
import { createReferences } from '../../../src/engine/reference.ts';
import { Tallies } from '../../../src/engine/tallies.ts';
import { describeAnyRedis, describeRedis } from '../../support/describe-redis.ts';
import { eventually } from '../../support/events.ts';
import { RedisServer } from '../../support/redis.ts';
import { Instrumented } from './fixture.ts';

const PREFIX = `test:${randomUUID()}:`;
const ROOM = { tenant: 'default', channel: 'support', room: 'r' };
const ALL: Interest = {
  totals: true,
  settlements: [{ kinds: ['settled', 'failed'], tenants: null, channel: null, room: null }],
};

class Peer {
  readonly instruments = new Instrumented();
  readonly name = randomUUID();
  readonly heard: Settlement[] = [];
  readonly parts = new Map<string, LivePart | null>();
  readonly missed: (number | null)[] = [];
  readonly live: Live;
  readonly stop: () => Promise<void>;
  readonly start: () => Promise<void>;

  constructor(url: string) {
    const clock = createSystemClock();
    const redis = createRedis(
      { keyPrefix: PREFIX, connectTimeoutMs: 1_000, commandTimeoutMs: 250, url },
      { instruments: this.instruments, clock, chance: Math.random },
    );
    this.live = new Live({
      bus: redis.live,
      reporter: {
        glance: async () => ({
          worker: this.name,
          asOf: 1,
          shards: 1,
          intake: 0,
          openSends: 0,
          unlisted: 0,
          channels: [],
        }),
      },
      channels: { get: () => null, tallies: new Tallies() },
      references: createReferences('a secret of this test'),
      telemetry: this.instruments.telemetry,
      clock,
      teller: this.name,
      onFailure: (error) => {
        throw error;
      },
    });
    this.start = async () => {
      await redis.service.start();
      await this.live.service.start();
      await eventually('it reaches the others', () => this.live.reaches === 'fleet');
    };
    this.stop = async () => {
      await this.live.service.stop();
      await redis.service.stop();
    };
  }

  read(interest: Interest | null = ALL): void {
    this.live.want(interest, {
      onPart: (process, part) => void this.parts.set(process, part),
      onSettlements: (settlements) => void this.heard.push(...settlements),
      onMissed: (count) => void this.missed.push(count),
    });
  }

  get isHeard(): boolean {
    return this.instruments.telemetry.wants('message.settled');
  }

  settle(sequence: number): void {
    this.instruments.telemetry.emit('message.settled', {
      room: ROOM,
      address: { shard: 1, id: 2 },
      sequence,
      messageId: 'm',
      outcome: 'acked',
      reason: 'ack',
      level: 'delivered',
      code: null,
      attempts: 1,
      possiblyDelivered: false,
      at: 1,
    });
  }
}

function peers() {
  const ends: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });
  const peerOf = async (url: string): Promise<Peer> => {
    const peer = new Peer(url);
    ends.push(peer.stop);
    await peer.start();
    return peer;
  };
  return { ends, peerOf };
}

describeAnyRedis('the live feed over any Redis', (urlOf) => {
  const { peerOf } = peers();

  it('reaches who listens, and only then', async () => {
    const url = await urlOf();
    const [source, reader, other] = await Promise.all([peerOf(url), peerOf(url), peerOf(url)]);
    reader.read();
    await eventually('the interest is known', () => source.isHeard && other.isHeard);
    await eventually('totals come from all', () => [source, other, reader].every(({ name }) => reader.parts.has(name)));
    source.settle(1);
    reader.settle(2);
    source.settle(3);
    await eventually('they are heard', () => reader.heard.length === 3);
    expect(reader.heard.map(({ sequence }) => sequence).toSorted()).toEqual([1, 2, 3]);
    expect(reader.heard[0]).toMatchObject({ kind: 'settled', room: ROOM, late: false });
    expect(other.heard).toEqual([]);
    reader.read(null);
    await eventually('nobody is told any more', () => !source.isHeard && !other.isHeard && !reader.isHeard);
    expect(reader.missed).toEqual([]);
  });

  it('ends with the process that listened, and tells of one that ended', async () => {
    const url = await urlOf();
    const [source, reader] = await Promise.all([peerOf(url), peerOf(url)]);
    reader.read();
    await eventually('totals come', () => reader.parts.get(source.name));
    await source.stop();
    await eventually('it is gone', () => reader.parts.get(source.name) === null);
    const second = await peerOf(url);
    await eventually('a process that comes later learns of it', () => second.isHeard);
    await reader.stop();
    await eventually('nobody is told any more', () => !second.isHeard);
  });
});

describeRedis('the live feed over a Redis of its own', (program) => {
  const { ends, peerOf } = peers();

  it('says that something may be missing when it is killed, and goes on when it is back', async () => {
    const server = new RedisServer(program, {}, await freePort());
    ends.push(() => server.stop());
    await server.start();
    const [source, reader] = await Promise.all([peerOf(server.url), peerOf(server.url)]);
    reader.read();
    await eventually('totals come', () => reader.parts.has(source.name));
    await server.kill();
    await eventually('the reader is told', () => reader.missed.length > 0);
    source.settle(1);
    expect(reader.missed[0]).toBeNull();
    await eventually('the interest has ended', () => !source.isHeard);
    await server.start();
    await eventually('the interest is known again', () => source.isHeard);
    await eventually('it is heard', () => {
      source.settle(2);
      return reader.heard.length > 0;
    });
    expect(reader.heard.every(({ sequence }) => sequence === 2)).toBe(true);
  });
});
