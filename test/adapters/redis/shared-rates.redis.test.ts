/** Shared limits on a real Redis that forgets, refuses, and holds what is not ours. */
import { Redis as Admin } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { describeRedis } from '../../support/describe-redis.ts';
import { eventually } from '../../support/events.ts';
import { type RedisServer, startRedis } from '../../support/redis.ts';
import { Client } from './fixture.ts';

/** So slow that nothing is paid back while a test runs. */
const SLOW = { perSecond: 0.001, burst: 5 };

describeRedis('shared limits', (program) => {
  let server: RedisServer;
  let admin: Admin;
  let client: Client;

  beforeAll(async () => {
    server = await startRedis(program);
    admin = new Admin(server.url);
    client = await new Client({ url: server.url }).untilUp();
  });

  afterAll(async () => {
    admin?.disconnect();
    await client?.connection.close();
    await server?.stop();
  });

  const granted = async (name: string, want: number, limit = SLOW): Promise<number> =>
    (await client.rates.take(name, limit, want)).granted;

  it('are told apart by their names, and kept under keys that disappear when all is paid back', async () => {
    const fast = { perSecond: 100, burst: 10 };
    expect(await granted('channel default/one', 10, fast)).toBe(10);
    expect(await granted('channel default/two', 3)).toBe(3);
    const key = 'test:rate:{channel default/one}';
    const ttlMs = await admin.pttl(key);
    expect(ttlMs).toBeLessThanOrEqual(101);
    await eventually('the key has disappeared', async () => (await admin.exists(key)) === 0);
    expect(await admin.pttl('test:rate:{channel default/two}')).toBeGreaterThan(2_900_000);
  });

  it('are those of the key prefix', async () => {
    const other = await new Client({ url: server.url, keyPrefix: 'other:' }).untilUp();
    expect(await granted('prefixed', 5)).toBe(5);
    expect((await other.rates.take('prefixed', SLOW, 5)).granted).toBe(5);
    expect(await admin.exists('test:rate:{prefixed}', 'other:rate:{prefixed}')).toBe(2);
    await other.connection.close();
  });

  it('begin anew where Redis was emptied, and nobody is refused', async () => {
    expect(await granted('flushed', 9)).toBe(5);
    await admin.flushall();
    expect(await granted('flushed', 9)).toBe(5);
    expect(await granted('flushed', 9)).toBe(0);
  });

  it('go on where Redis has forgotten the script', async () => {
    expect(await granted('script', 3)).toBe(3);
    const calls = Array.from({ length: 20 }, (_, n) => (n === 10 ? admin.script('FLUSH') : granted(`script ${n}`, 1)));
    await Promise.all(calls);
    await admin.script('FLUSH');
    expect(await granted('script', 9)).toBe(2);
    expect(client.instruments.events()).toEqual([]);
  });

  it('take what they cannot read for nothing used', async () => {
    for (const text of ['', 'foreign', '1', '- 5', '1e999999x 5']) {
      await admin.set('test:rate:{foreign}', text);
      expect(await granted('foreign', 9), text).toBe(5);
    }
  });

  it('say so once while Redis refuses, and once when it takes them again', async () => {
    await admin.lpush('test:rate:{list}', 'of something else');
    for (let n = 0; n < 3; n++) await expect(granted('list', 1)).rejects.toMatchObject({ code: 'WRONGTYPE' });
    expect(await client.instruments.errors()).toEqual({ refused: 3 });
    expect(await client.instruments.up()).toBe(0);
    await admin.del('test:rate:{list}');
    expect(await granted('list', 1)).toBe(1);
    expect(await client.instruments.up()).toBe(1);
    expect(client.instruments.logged()).toMatchObject([
      { event: 'dependency.lost', dependency: 'redis', code: 'WRONGTYPE' },
      { event: 'dependency.back', dependency: 'redis' },
    ]);
  });

  describe('on another kind of server', () => {
    let node: RedisServer;
    let operator: Admin;
    let connected: Client;

    const begin = async (settings: Readonly<Record<string, string>>): Promise<void> => {
      node = await startRedis(program, settings);
      operator = new Admin(node.url);
      connected = await new Client({ url: node.url }).untilUp();
    };
    const untilItTakes = () =>
      eventually('it takes tokens', () =>
        connected.rates.take('x', SLOW, 1).then(
          () => true,
          () => false,
        ),
      );

    afterEach(async () => {
      operator?.disconnect();
      await connected?.connection.close();
      await node?.stop();
    });

    it('are kept by a node of a cluster, which allows a script the keys of one slot only', async () => {
      await begin({ 'cluster-enabled': 'yes', 'cluster-config-file': 'nodes.conf' });
      await operator.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
      await untilItTakes();
      for (const name of ['channel default/a', 'account default/b']) {
        expect((await connected.rates.take(name, SLOW, 9)).granted).toBe(5);
      }
    });

    it('wait for a replica to be promoted, told once', async () => {
      await begin({});
      await untilItTakes();
      await operator.replicaof('127.0.0.1', '1');
      await eventually('several commands were refused', async () => {
        await connected.rates.take('x', SLOW, 1).catch(() => undefined);
        return ((await connected.instruments.errors()).refused ?? 0) >= 3;
      });
      await operator.replicaof('NO', 'ONE');
      await untilItTakes();
      expect(connected.instruments.logged()).toMatchObject([
        { event: 'dependency.lost', code: 'READONLY' },
        { event: 'dependency.back' },
      ]);
    });
  });
});
