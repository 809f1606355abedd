import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sendDirectly } from '../../../simulators/demo/baseline.ts';
import { instant } from '../../../simulators/platform/settings.ts';
import { load } from '../../../simulators/rig/publisher.ts';
import { type Rig, startRig } from '../../../simulators/rig/rig.ts';

const TIMEOUT_MS = 60_000;

/** Everything but Roomline: what that does is for the system tests. */
describe('a rig without its engine', { timeout: TIMEOUT_MS }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'roomline-rig-'));
  const occupied = createServer();
  let rig: Rig;

  beforeAll(async () => {
    // Run as root, Postgres has an account of its own.
    chmodSync(directory, 0o755);
    const port = await new Promise<number>((resolve) => {
      occupied.listen(0, '127.0.0.1', () => resolve((occupied.address() as { port: number }).port));
    });
    rig = await startRig({
      directory,
      startEngine: false,
      httpPort: port,
      platform: [
        instant,
        {
          channels: {
            demo: { webhook: null },
            direct: { token: 'direct', knobs: { request: { requireRoomlineHeaders: false } } },
          },
        },
      ],
    });
  }, TIMEOUT_MS);

  afterAll(async () => {
    occupied.close();
    await rig?.stop();
    expect(readdirSync(join(directory, 'processes'))).toEqual([]);
    rmSync(directory, { recursive: true });
  });

  it('has published what its log says, and Pub/Sub keeps it over a kill -9', async () => {
    const { publisher, log } = rig.publisher();
    await publisher.publish(load('one', 'demo', 30, 10), { batch: 70 });
    expect([log.size, log.confirmed]).toEqual([300, 300]);
    expect(await rig.waiting()).toBe(300);
    await rig.pubsub.kill9();
    await rig.pubsub.start();
    expect(await rig.pubsub.backlog()).toBe(300);
    await publisher.publish(load('two', 'demo', 3, 2));
    expect(await rig.waiting()).toBe(306);

    const room = [...log.entries()].filter((entry) => entry.room === 'one-07');
    expect(room.map(({ key }) => key)).toEqual(Array.from({ length: 10 }, (_, index) => `one/one-07/${index + 1}`));
    expect(room.every(({ accepted }) => accepted === true)).toBe(true);
    const lines = readFileSync(join(directory, 'published.ndjson'), 'utf8').trim().split('\n');
    expect(lines.filter((line) => line.startsWith('{"confirmed"')).length).toBeGreaterThanOrEqual(6);
  });

  it('publishes on when Pub/Sub comes back, and says what is not confirmed', async () => {
    const { publisher, log } = rig.publisher('while-away');
    await rig.pubsub.stop();
    const interruption = new AbortController();
    const given = publisher.publish(load('three', 'demo', 2, 1), { signal: interruption.signal });
    interruption.abort(new Error('interrupted'));
    await expect(given).rejects.toThrow();
    expect([...log.entries()].map(({ accepted }) => accepted)).toEqual([false, false]);

    const before = rig.publisher('over-the-gap');
    const published = before.publisher.publish(load('four', 'demo', 2, 1));
    await rig.pubsub.start();
    await published;
    expect(before.log.confirmed).toBe(2);
  });

  it('lets the oracle judge what reached the platform, over all its lives', async () => {
    const options = {
      url: rig.platform.url,
      token: 'direct',
      pauseMs: null,
      signal: new AbortController().signal,
    };
    const first = await sendDirectly(load('a', 'direct', 4, 5), options);
    await rig.untilQuiet({ deadlineMs: 5_000 });
    await rig.platform.stop();
    await rig.platform.start();
    expect(rig.platform.url).toBe(options.url);
    const second = await sendDirectly(load('b', 'direct', 4, 5), options);
    await rig.untilQuiet({ deadlineMs: 5_000 });
    const [all, part] = await rig.judge([
      { published: [...first, ...second], options: { discipline: 'none' } },
      { published: [...second, { key: 'never sent', room: 'a' }], options: { discipline: 'none' } },
    ]);
    expect(all).toMatchObject({ clean: true, messages: { published: 40, shown: 40, lost: 0 } });
    expect(part).toMatchObject({ clean: false, messages: { published: 21, shown: 20, lost: 1 } });
  });

  it('keeps its secrets in files for this user alone, and out of the configuration', () => {
    const folder = join(directory, 'secrets');
    const config = readFileSync(join(directory, 'engine.json'), 'utf8');
    const names = readdirSync(folder);
    expect(names.sort()).toEqual(['api-key', 'postgres-url', 'reference', 'token-demo', 'webhook']);
    for (const name of names) {
      expect(statSync(join(folder, name)).mode & 0o077).toBe(0);
      expect(config).not.toContain(readFileSync(join(folder, name), 'utf8').trim());
    }
    for (const name of ['published.ndjson', 'ground-truth-1.ndjson', 'pubsub.journal', 'platform.json']) {
      expect(statSync(join(directory, name)).mode & 0o077, name).toBe(0);
    }
  });

  it('takes another port where the wanted one is taken', () => {
    const { port } = JSON.parse(readFileSync(join(directory, 'engine.json'), 'utf8')).http as { port: number };
    expect(port).not.toBe((occupied.address() as { port: number }).port);
    expect(port).toBeGreaterThan(0);
  });

  it('shares its folder with no other rig', async () => {
    await expect(startRig({ directory })).rejects.toThrow(/is in use by process/);
  });

  it('says when a part ends that nobody has stopped', async () => {
    const failed = rig.failed();
    process.kill(rig.platform.child?.pid ?? 0, 'SIGKILL');
    expect(await failed).toMatch(/the platform has ended by itself \(SIGKILL\)/);
  });
});
