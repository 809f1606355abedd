/** Signals between processes over a Redis that comes and goes, is frozen, refuses, and carries what is not ours. */
import { randomUUID } from 'node:crypto';
import { Redis as Admin } from 'ioredis';
import { afterEach, expect, it } from 'vitest';
import { freePort } from '../../../simulators/free-port.ts';
import { createRedis, type Redis } from '../../../src/adapters/redis/redis.ts';
import { createSystemClock } from '../../../src/adapters/system-clock.ts';
import type { Signal } from '../../../src/engine/ports.ts';
import { describeAnyRedis, describeRedis } from '../../support/describe-redis.ts';
import { eventually } from '../../support/events.ts';
import { RedisServer, startRedis } from '../../support/redis.ts';
import { Instrumented } from './fixture.ts';

/** Nobody else's, where the Redis is not ours alone. */
const PREFIX = `test:${randomUUID()}:`;
const SETTINGS = { keyPrefix: PREFIX, connectTimeoutMs: 1_000, commandTimeoutMs: 250 };

function room(shard: number, id: number, wishes: Partial<Extract<Signal, { kind: 'room' }>> = {}): Signal {
  return { kind: 'room', shard, id, version: 1, tail: 1, ackedAt: null, ...wishes };
}

/** One process, as far as Redis sees it. */
class Peer {
  readonly instruments = new Instrumented();
  readonly heard: Signal[] = [];
  readonly redis: Redis;

  constructor(url: string) {
    const clock = createSystemClock();
    this.redis = createRedis({ ...SETTINGS, url }, { instruments: this.instruments, clock, chance: Math.random });
    this.redis.signals.listen((signal) => this.heard.push(signal));
  }

  get signals() {
    return this.redis.signals;
  }

  async untilLive(live = true): Promise<this> {
    await eventually(`live is ${live}`, () => this.signals.live === live);
    return this;
  }

  async untilHears(...shards: readonly number[]): Promise<this> {
    await eventually(`what is said of ${shards.length} shards is heard`, () => this.signals.hears(shards));
    return this;
  }

  async until(count: number): Promise<readonly Signal[]> {
    await eventually(`${count} signals`, () => this.heard.length >= count);
    return this.heard;
  }

  async count(name: 'signalsPublished' | 'signalsReceived' | 'signalsDropped'): Promise<Record<string, number>> {
    const { values } = await this.instruments.metrics[name].get();
    return Object.fromEntries(values.map(({ labels, value }) => [String(Object.values(labels)[0]), value]));
  }
}

/** Processes on one Redis that end with the test. */
function peers() {
  const ends: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });
  const peerOf = async (url: string): Promise<Peer> => {
    const peer = new Peer(url);
    ends.push(() => peer.redis.service.stop());
    await peer.redis.service.start();
    return peer;
  };
  const adminOf = (url: string): Admin => {
    const admin = new Admin(url);
    admin.on('error', () => undefined);
    ends.push(async () => admin.disconnect());
    return admin;
  };
  return { ends, peerOf, adminOf, livePeer: async (url: string) => (await peerOf(url)).untilLive() };
}

describeAnyRedis('signals over any Redis', (urlOf) => {
  const { adminOf, livePeer } = peers();

  it('reach whoever follows the shard, all of one turn in one step, and each room once', async () => {
    const url = await urlOf();
    const [from, to, other] = await Promise.all([livePeer(url), livePeer(url), livePeer(url)]);
    to.signals.follow([7, 65_535]);
    other.signals.follow([7]);
    other.signals.unfollow([7]);
    other.signals.follow([8]);
    await Promise.all([to.untilHears(7, 65_535), other.untilHears(8)]);
    expect(other.signals.hears([7, 8])).toBe(false);
    const watched = adminOf(url);
    const messages: string[] = [];
    watched.on('message', (_, text: string) => messages.push(text));
    await watched.subscribe(`${PREFIX}shard:{7}`);

    from.signals.publish(room(7, 1, { version: 3, tail: 9, ackedAt: 1_700_000_000_123 }));
    from.signals.publish(room(7, 2 ** 40, { version: 8, tail: 2 }));
    from.signals.publish(room(7, 1, { version: 4, tail: 8 }));
    from.signals.publish(room(65_535, 3));
    from.signals.publish(room(8, 4));
    expect(await to.until(3)).toEqual([
      room(7, 1, { version: 4, tail: 9, ackedAt: 1_700_000_000_123 }),
      room(7, 2 ** 40, { version: 8, tail: 2 }),
      room(65_535, 3),
    ]);
    expect(await other.until(1)).toEqual([room(8, 4)]);
    expect(from.heard).toEqual([]);
    await eventually('the watcher saw it', () => messages.length === 1);
    expect(messages[0]?.split(',')).toHaveLength(2);
    expect(await from.count('signalsPublished')).toEqual({ room: 4 });
    expect(await to.count('signalsReceived')).toEqual({ room: 3 });
  });

  it('that concern all reach all others, and not oneself', async () => {
    const url = await urlOf();
    const [from, one, two] = await Promise.all([livePeer(url), livePeer(url), livePeer(url)]);
    const acks = { kind: 'acks', channel: { tenant: 'default', channel: 'a "b"' } } as const;
    const everybody = { kind: 'ownership', worker: null } as const;
    const somebody = { kind: 'ownership', worker: 'w1' } as const;
    for (const signal of [everybody, somebody, { kind: 'channels' }, { kind: 'channels' }, acks] as const) {
      from.signals.publish(signal);
    }
    const expected = [everybody, somebody, { kind: 'channels' }, acks];
    expect(await one.until(4)).toEqual(expected);
    expect(await two.until(4)).toEqual(expected);
    // Its own would have come before what another says later.
    one.signals.publish(everybody);
    expect(await from.until(1)).toEqual([everybody]);
  });

  it('that are malformed or foreign are counted and ignored', async () => {
    const url = await urlOf();
    const [from, to] = await Promise.all([livePeer(url), livePeer(url)]);
    to.signals.follow([1]);
    await to.untilHears(1);
    const admin = adminOf(url);
    const onShard = ['', 'hello', '1.1.1', '1.1.1.1.1', '1.1.1.,', '-1.1.1.', 'zzzzzzzzzzz.1.1.', '{"id":1}', 'é.1.1.'];
    const onAll = [
      '',
      '{',
      'null',
      '[]',
      '[1]',
      '["x",["no such"]]',
      '["x",["acks",1,2]]',
      '["x","channels"]',
      '[["x"]]',
    ];
    for (const text of onShard) await admin.publish(`${PREFIX}shard:{1}`, text);
    for (const text of onAll) await admin.publish(`${PREFIX}all`, text);
    await admin.publish(`${PREFIX}shard:{1}`, 'x'.repeat(5 * 1_048_576));
    await admin.publish('other:all', '["x",["channels"]]');
    from.signals.publish(room(1, 5));
    expect(await to.until(1)).toEqual([room(1, 5)]);
    expect((await to.count('signalsDropped')).unreadable).toBe(onShard.length + onAll.length + 1);
    expect(to.signals.live).toBe(true);
  });
});

describeRedis('signals over a Redis of our own', (program) => {
  const { ends, peerOf, adminOf, livePeer } = peers();

  async function serverOf(settings?: Record<string, string>): Promise<RedisServer> {
    const server = await startRedis(program, settings);
    ends.push(() => server.stop());
    return server;
  }

  it('come back by themselves after kill -9, to every one of many shards', async () => {
    const server = await serverOf();
    const [from, to] = await Promise.all([livePeer(server.url), livePeer(server.url)]);
    const shards = Array.from({ length: 65_536 }, (_, shard) => shard);
    to.signals.follow(shards);
    // What was followed before is heard meanwhile.
    expect(to.signals.live).toBe(true);
    expect(to.signals.hears(shards.slice(-1))).toBe(false);
    await eventually('all are heard', () => to.signals.hears(shards), { everyMs: 50 });
    for (let outage = 1; outage <= 2; outage++) {
      const lost = Promise.all([from.untilLive(false), to.untilLive(false)]);
      await server.kill();
      await lost;
      // The connection that tells may have been found broken later than the one that hears.
      await eventually('what is told meanwhile is dropped', async () => {
        from.signals.publish(room(1, 1));
        return ((await from.count('signalsDropped')).away ?? 0) >= outage;
      });
      await server.start();
      await Promise.all([from.untilLive(), to.untilLive()]);
      expect(to.signals.hears(shards)).toBe(true);
      to.heard.length = 0;
      for (const shard of shards) if (shard % 8 === 0) from.signals.publish(room(shard, shard + 1));
      await to.until(shards.length / 8);
    }
    expect(to.instruments.events().filter((event) => event.startsWith('signals'))).toEqual([
      'signals.live',
      ...['signals.lost', 'signals.live', 'signals.lost', 'signals.live'],
    ]);
  });

  it('are not live while Redis is frozen, hold nobody up, and go on when it goes on', async () => {
    const server = await serverOf();
    const [from, to] = await Promise.all([livePeer(server.url), livePeer(server.url)]);
    to.signals.follow([1]);
    await to.untilHears(1);
    const lost = Promise.all([from.untilLive(false), to.untilLive(false)]);
    server.pause();
    const begun = performance.now();
    for (let id = 1; id <= 50_000; id++) from.signals.publish(room(1, id));
    expect(performance.now() - begun).toBeLessThan(1_000);
    await lost;
    expect(performance.now() - begun).toBeLessThan(3_000);
    const { full } = await from.count('signalsDropped');
    expect(full).toBeGreaterThanOrEqual(10_000);
    server.resume();
    await Promise.all([from.untilLive(), to.untilLive()]);
    to.heard.length = 0;
    from.signals.publish(room(1, 99_999));
    await eventually('the last one came', () => to.heard.some((signal) => 'id' in signal && signal.id === 99_999));
    await eventually('it is told that others were lost', () => to.heard.some(({ kind }) => kind === 'missed'));
  });

  it('do not need what FLUSHALL and SCRIPT FLUSH take away', async () => {
    const server = await serverOf();
    const [from, to] = await Promise.all([livePeer(server.url), livePeer(server.url)]);
    to.signals.follow([1]);
    await to.untilHears(1);
    const admin = adminOf(server.url);
    await admin.flushall();
    await admin.script('FLUSH');
    from.signals.publish(room(1, 5));
    expect(await to.until(1)).toEqual([room(1, 5)]);
  });

  it('are subscribed to again when Redis ends the subscription', async () => {
    const server = await serverOf();
    const [from, to] = await Promise.all([livePeer(server.url), livePeer(server.url)]);
    to.signals.follow([1, 2]);
    await to.untilHears(1, 2);
    const admin = adminOf(server.url);
    const lost = to.untilLive(false);
    await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await lost;
    await Promise.all([from.untilLive(), to.untilLive()]);
    expect(to.signals.lapses).toBeGreaterThan(0);
    from.signals.publish(room(2, 5));
    expect(await to.until(1)).toEqual([room(2, 5)]);
  });

  it('are not live where Redis serves and does not let us listen, and are as soon as it does', async () => {
    const server = await serverOf();
    const admin = adminOf(server.url);
    await admin.acl('SETUSER', 'mute', 'on', '>secret', '~*', '+@all', 'resetchannels');
    const peer = await peerOf(`redis://mute:secret@${new URL(server.url).host}`);
    await eventually('it was refused', async () => ((await peer.instruments.errors()).refused ?? 0) >= 1);
    expect(peer.signals.live).toBe(false);
    const live = peer.untilLive();
    await admin.acl('SETUSER', 'mute', 'allchannels');
    await live;
    const lost = peer.untilLive(false);
    await admin.acl('SETUSER', 'mute', '-publish');
    await lost;
    // A subscription on which nothing comes is made anew.
    const { lapses } = peer.signals;
    await eventually('it has listened anew', () => peer.signals.lapses > lapses);
    await admin.acl('SETUSER', 'mute', '+publish');
    await peer.untilLive();
  });

  it('go nowhere where Redis was never there, and arrive when it comes', async () => {
    const port = await freePort();
    const server = new RedisServer(program, {}, port);
    ends.push(() => server.stop());
    const url = `redis://127.0.0.1:${port}`;
    const [from, to] = await Promise.all([peerOf(url), peerOf(url)]);
    to.signals.follow([1]);
    from.signals.publish(room(1, 1));
    expect(await from.count('signalsDropped')).toEqual({ away: 1 });
    expect([from.signals.live, to.signals.live]).toEqual([false, false]);
    const live = Promise.all([from.untilLive(), to.untilLive()]);
    await server.start();
    await live;
    from.signals.publish(room(1, 2));
    expect((await to.until(2)).toSorted((a, b) => a.kind.localeCompare(b.kind))).toEqual([
      { kind: 'missed' },
      room(1, 2),
    ]);
  });

  it('end when they are told to, wherever Redis is', async () => {
    const server = await serverOf();
    const [serving, paused] = await Promise.all([livePeer(server.url), livePeer(server.url)]);
    await serving.redis.service.stop();
    serving.signals.publish(room(1, 1));
    expect(await serving.count('signalsDropped')).toEqual({});
    server.pause();
    paused.signals.publish(room(1, 1));
    await paused.redis.service.stop();
    const away = await peerOf(server.url);
    await server.kill();
    await away.redis.service.stop();
  });
});
