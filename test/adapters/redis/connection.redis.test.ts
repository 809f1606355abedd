/** A Redis that is not there, is killed, stops answering, or does not let us in: nobody waits for it. */
import { inspect } from 'node:util';
import { Redis as Admin } from 'ioredis';
import { afterEach, expect, it } from 'vitest';
import { freePort } from '../../../simulators/free-port.ts';
import { createRedis } from '../../../src/adapters/redis/redis.ts';
import { createSystemClock } from '../../../src/adapters/system-clock.ts';
import { LocalRate, SharedRate } from '../../../src/engine/rates.ts';
import { describeRedis } from '../../support/describe-redis.ts';
import { eventually, nextEvent } from '../../support/events.ts';
import { RedisServer, startRedis } from '../../support/redis.ts';
import { Client, Instrumented } from './fixture.ts';

const LIMIT = { perSecond: 1_000, burst: 1_000 };
const COMMAND_TIMEOUT_MS = 250;

describeRedis('the connection to Redis', (program) => {
  const ends: (() => Promise<void>)[] = [];

  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  async function serverOf(settings?: Record<string, string>): Promise<RedisServer> {
    const server = await startRedis(program, settings);
    ends.push(() => server.stop());
    return server;
  }

  function clientOf(url: string): Client {
    const client = new Client({ url, commandTimeoutMs: COMMAND_TIMEOUT_MS });
    ends.push(() => client.connection.close());
    return client;
  }

  const take = (client: Client) => client.rates.take('x', LIMIT, 1);

  it('is made anew after kill -9: what is asked fails at once meanwhile, and the log says it once', async () => {
    const server = await serverOf();
    const client = await clientOf(server.url).untilUp();
    const { telemetry } = client.instruments;
    expect((await take(client)).granted).toBe(1);

    for (let outage = 1; outage <= 2; outage++) {
      const lost = nextEvent(telemetry, 'dependency.lost');
      await server.kill();
      expect(await lost).toEqual({ dependency: 'redis' });
      await expect(take(client)).rejects.toMatchObject({ name: 'RedisError', kind: 'away' });
      await eventually(
        'it was tried again',
        async () => ((await client.instruments.errors()).connection ?? 0) > 3 * outage,
      );
      expect(await client.instruments.up()).toBe(0);

      const back = nextEvent(telemetry, 'dependency.back');
      await server.start();
      await back;
      expect((await take(client)).granted).toBe(1);
      expect(await client.instruments.up()).toBe(1);
    }
    const once = ['dependency.lost', 'dependency.back'];
    expect(client.instruments.events()).toEqual([...once, ...once]);
  });

  it('answers what is under way when it breaks', async () => {
    const server = await serverOf();
    const client = await clientOf(server.url).untilUp();
    server.pause();
    const asked = Promise.allSettled(Array.from({ length: 10 }, () => take(client)));
    await server.kill();
    for (const result of await asked) {
      expect(result).toMatchObject({ status: 'rejected', reason: { name: 'RedisError' } });
    }
  });

  it('does not hold up the start, and comes when Redis does', async () => {
    const port = await freePort();
    const server = new RedisServer(program, {}, port);
    ends.push(() => server.stop());
    const instruments = new Instrumented();
    const clock = createSystemClock();
    const redis = createRedis(
      { url: `redis://127.0.0.1:${port}`, keyPrefix: '', connectTimeoutMs: 1_000, commandTimeoutMs: 250 },
      { instruments, clock, chance: Math.random },
    );
    ends.push(() => redis.service.stop());
    await redis.service.start();
    await expect(redis.sharedRates.take('x', LIMIT, 1)).rejects.toMatchObject({ kind: 'away' });
    await eventually('it was tried', () => instruments.events().includes('dependency.lost'));
    const back = nextEvent(instruments.telemetry, 'dependency.back');
    await server.start();
    await back;
    expect((await redis.sharedRates.take('x', LIMIT, 1)).granted).toBe(1);
    expect(instruments.logged()).toMatchObject([{ event: 'dependency.lost', code: 'ECONNREFUSED' }, {}]);
  });

  it('gives up on a Redis that stops answering, and goes on when it answers again', async () => {
    const server = await serverOf();
    const client = await clientOf(server.url).untilUp();
    server.pause();
    await expect(take(client)).rejects.toMatchObject({ kind: 'timeout' });
    // One that stays silent is left altogether: from then on nobody waits even for the timeout.
    await eventually('it is away', () =>
      take(client).then(
        () => false,
        ({ kind }: { kind: string }) => kind === 'away',
      ),
    );
    const back = nextEvent(client.instruments.telemetry, 'dependency.back');
    server.resume();
    await back;
    await eventually('it takes tokens', () =>
      take(client).then(
        () => true,
        () => false,
      ),
    );
    expect(client.instruments.events()).toEqual(['dependency.lost', 'dependency.back']);
  });

  it('holds nobody up whose tokens come from a Redis that stops answering', async () => {
    const server = await serverOf();
    const client = await clientOf(server.url).untilUp();
    const clock = createSystemClock();
    const limit = { perSecond: 50, burst: 2 };
    const own = new LocalRate(limit, clock, () => 0.5);
    const rate = new SharedRate('x', limit, client.rates, clock, own);
    const served = () => new Promise<number>((resolve) => void rate.take(() => resolve(performance.now())));
    await served();
    server.pause();
    const begun = performance.now();
    const at = await Promise.all(Array.from({ length: 6 }, served));
    // By its share, 25 a second, from the timeout on; the token that Redis had given before may go at once.
    const last = (at.at(-1) as number) - begun;
    expect(last).toBeLessThan(COMMAND_TIMEOUT_MS + 1_000);
    expect(last).toBeGreaterThan(((6 - 2) * 1_000) / 25);
  });

  it('names a wrong password, and keeps it to itself', async () => {
    const server = await serverOf({ requirepass: 'right-passw0rd' });
    const wrong = clientOf(server.url.replace('right-', 'wr0ng%2D'));
    const none = clientOf(server.url.replace(/:[^:]*@/, ''));
    for (const [client, code] of [
      [wrong, 'WRONGPASS'],
      [none, 'NOAUTH'],
    ] as const) {
      await eventually('it was tried twice', async () => ((await client.instruments.errors()).connection ?? 0) >= 2);
      expect(client.instruments.logged()).toMatchObject([
        { event: 'dependency.lost', dependency: 'redis', level: 'warn', errorName: 'RedisError', code },
      ]);
      const error: unknown = await take(client).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ message: `Redis is away: ${code}`, kind: 'away', code });
      const shown = [...client.instruments.lines, inspect(error, { depth: 9 }), JSON.stringify(error)].join('\n');
      expect(shown).not.toMatch(/passw0rd/);
      expect(shown).not.toContain(new URL(server.url).port);
    }
    const right = await clientOf(server.url).untilUp();
    expect((await take(right)).granted).toBe(1);
  });

  it('takes user, password and database from the URL', async () => {
    const server = await serverOf();
    const admin = new Admin(server.url);
    ends.push(async () => admin.disconnect());
    await admin.acl('SETUSER', 'limits', 'on', '>p@ss:/w', '~test:*', '+@all');
    const url = `redis://limits:${encodeURIComponent('p@ss:/w')}@${new URL(server.url).host}/3`;
    const client = await clientOf(url).untilUp();
    expect((await client.rates.take('x', { perSecond: 0.001, burst: 1 }, 1)).granted).toBe(1);
    await admin.select(3);
    expect(await admin.exists('test:rate:{x}')).toBe(1);
  });

  it('ends when it is told to, wherever it is, and is not missed', async () => {
    const server = await serverOf();
    const admin = new Admin(server.url);
    const serving = await clientOf(server.url).untilUp();
    await serving.connection.close();
    await serving.connection.close();
    expect(serving.instruments.events()).toEqual([]);
    await eventually('only the other one is left', async () =>
      /^id=\d+[^\n]*\n$/.test(String(await admin.client('LIST'))),
    );
    admin.disconnect();

    const paused = await clientOf(server.url).untilUp();
    server.pause();
    const asked = Promise.allSettled([take(paused)]);
    await paused.connection.close();
    expect(await asked).toMatchObject([{ status: 'rejected', reason: { name: 'RedisError' } }]);
    expect(paused.instruments.events()).toEqual([]);
    const silent = clientOf(server.url);
    await silent.connection.close();

    await server.kill();
    const away = clientOf(server.url);
    await eventually('it was tried twice', async () => ((await away.instruments.errors()).connection ?? 0) >= 2);
    await away.connection.close();
    expect(away.instruments.events()).toEqual(['dependency.lost']);
    await expect(take(away)).rejects.toMatchObject({ kind: 'away' });
  });
});
