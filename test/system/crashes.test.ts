import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { freePort } from '../../simulators/free-port.ts';
import { EngineProcess } from '../../simulators/rig/engine.ts';
import { LEASE_MS, SETTINGS, type System, startSystem, TEST_TIMEOUT_MS, type Traffic } from '../support/system.ts';

describe('A Roomline that is ended or stands still', { timeout: TEST_TIMEOUT_MS }, () => {
  let system: System;

  beforeAll(async () => {
    system = await startSystem({
      channels: { main: {}, stopped: {}, frozen: {}, shared: {}, ended: {} },
      // Slow enough that many requests are open at any moment.
      platform: [
        {
          message: { send: { responseDelayMs: { kind: 'uniform', minMs: 50, maxMs: 250 } } },
        },
      ],
    });
  });

  beforeEach(() => system.ensureRunning());
  afterAll(() => system?.stop());

  /** A request that was answered while its sender stood still has timed out for it: that outcome is unknown, too. */
  async function expectCleanAfterStandstill(traffic: Traffic): Promise<void> {
    await traffic.expectClean({ answersGetLost: true });
  }

  test('goes on after each of four kills, at whatever moment, and loses nothing', async () => {
    const traffic = system.traffic('killed', { rooms: 50, messages: 12 });
    // The first kill comes while it takes messages in, the second during the take-over of what the first one left.
    const published = traffic.publish(3_000);
    await traffic.untilSettled(1);
    await system.killEngine();
    await system.rig.engine.start();
    await system.eventually('it takes over', () => system.logged('ownership.taken_over').length > 0);
    await system.killEngine();
    await system.rig.engine.start();
    await published;
    for (const share of [0.3, 0.6]) {
      await traffic.untilSettled(traffic.size * share);
      await system.killEngine();
      await system.rig.engine.start();
    }
    await traffic.untilDone();
    const verdict = await traffic.expectClean();
    const { interrupted = 0 } = await traffic.attempts();
    expect(interrupted, 'attempts that a kill caught').toBeGreaterThan(0);
    expect(verdict.duplicates.extraReceipts).toBeLessThanOrEqual(verdict.receipts.unknownOutcomes + interrupted);
    expect(await traffic.deadLetters()).toEqual([]);
    expect(system.logged('ownership.taken_over').length, 'take-overs').toBeGreaterThanOrEqual(4);
  });

  test('records the answers of open requests before it ends at SIGTERM, and sends nothing twice', async () => {
    const traffic = system.traffic('stopped', { rooms: 50, messages: 10, channel: 'stopped' });
    await traffic.publish();
    for (const share of [0.2, 0.6]) {
      await traffic.untilSettled(traffic.size * share);
      await system.eventually('requests are open', async () => {
        const metrics = await system.rig.engine.metrics();
        return metrics.sum('roomline_open_sends', { channel: 'default/stopped' }) > 0;
      });
      // To a whole process group it comes twice: a go-between passes its own on.
      const stopping = system.logged('process.stopping').length;
      system.rig.engine.child?.terminate();
      await system.eventually('it is stopping', () => system.logged('process.stopping').length > stopping);
      const end = await system.rig.engine.stop();
      system.count('SIGTERM under load');
      expect(end).toEqual({ code: 0, signal: null });
      const open = await system.query('SELECT id FROM rooms WHERE phase = $1', ['sending']);
      expect(open, 'rooms whose answer was not recorded').toEqual([]);
      const owned = 'SELECT shard FROM shards JOIN fences ON worker = owner WHERE NOT fenced LIMIT 1';
      expect(await system.query(owned), 'owned').toEqual([]);
      await system.rig.engine.start();
    }
    await traffic.untilDone();
    const verdict = await traffic.expectClean();
    const { interrupted = 0, unknown = 0 } = await traffic.attempts();
    expect(interrupted, 'attempts without a recorded answer').toBe(0);
    // On a busy machine a request may time out by itself.
    expect(verdict.duplicates.extraReceipts).toBeLessThanOrEqual(unknown);
    expect(await traffic.deadLetters()).toEqual([]);
  });

  test('begins a new life where it may stand still for longer than its lease, and keeps the order', async () => {
    const lives = () => system.logged('ownership.acquired').length;
    const traffic = system.traffic('frozen', { rooms: 50, messages: 10, channel: 'frozen' });
    await traffic.publish();
    for (const share of [0.2, 0.5]) {
      await traffic.untilSettled(traffic.size * share);
      const before = lives();
      system.rig.engine.child?.pause();
      await delay(1.5 * LEASE_MS);
      system.rig.engine.child?.resume();
      system.count('engine frozen beyond its lease');
      await system.eventually('it has a new life', () => lives() > before);
    }
    await traffic.untilDone();
    await expectCleanAfterStandstill(traffic);
    expect(await traffic.deadLetters()).toEqual([]);
    expect(system.logged('ownership.lost').length).toBeGreaterThanOrEqual(2);
  });

  test('changes nothing as a worker that stands still while another one takes its rooms over', async () => {
    const channel = 'shared';
    const { engine, directory } = system.rig;
    const port = await freePort();
    const config = JSON.parse(readFileSync(engine.configFile, 'utf8'));
    const second = new EngineProcess({
      directory,
      name: 'engine-second',
      apiKey: system.rig.apiKey,
      config: { ...config, http: { ...config.http, port } },
    });
    const path = `/v1/webhooks/default/${channel}`;
    await system.channelKnobs(channel, {
      webhook: { urls: [`${engine.url}${path}`, `http://127.0.0.1:${port}${path}`] },
    });
    const traffic = system.traffic('shared', { rooms: 50, messages: 10, channel });
    await traffic.publish();
    await traffic.untilSettled(traffic.size * 0.2);
    engine.child?.pause();
    try {
      // It is ready once it holds the shards.
      await second.start();
      await traffic.untilSettled(traffic.size * 0.4);
      engine.child?.resume();
      system.count('engine frozen and taken over by another');
      await system.eventually(
        'the first one knows that it lost them',
        () => system.logged('ownership.lost').length > 0,
      );
      await traffic.untilSettled(traffic.size * 0.7);
    } finally {
      engine.child?.resume();
      expect(await second.stop()).toEqual({ code: 0, signal: null });
    }
    await traffic.untilDone();
    await system.untilReady();
    await expectCleanAfterStandstill(traffic);
    expect(await traffic.deadLetters()).toEqual([]);
  });

  test('ends where it stood still for longer than it may, sends nothing more, and loses nothing', async () => {
    const channel = 'ended';
    const { engine, directory } = system.rig;
    const port = await freePort();
    const config = JSON.parse(readFileSync(engine.configFile, 'utf8'));
    const lines: string[] = [];
    const second = new EngineProcess({
      directory,
      name: 'engine-guarded',
      apiKey: system.rig.apiKey,
      config: {
        ...config,
        http: { ...config.http, port },
        ownership: { ...SETTINGS.ownership, stallLimitMs: LEASE_MS },
      },
      onLine: (line) => void lines.push(line),
    });
    const stalled = () => lines.findIndex((line) => line.includes('"event":"process.stalled"'));
    const path = `/v1/webhooks/default/${channel}`;
    await system.channelKnobs(channel, {
      webhook: { urls: [`${engine.url}${path}`, `http://127.0.0.1:${port}${path}`] },
    });
    await second.start();
    const traffic = system.traffic(channel, { rooms: 50, messages: 10, channel });
    try {
      await traffic.publish();
      await traffic.untilSettled(traffic.size * 0.2);
      await system.eventually('it sends', () => lines.some((line) => line.includes('"event":"attempt.finished"')));
      second.child?.pause();
      await delay(1.5 * LEASE_MS);
      await system.eventually('others have its shards', () => system.logged('ownership.taken_over').length > 0);
      second.child?.resume();
      const end = await second.child?.ended;
      system.count('engine frozen beyond what it may, which ends');
      expect(end?.code === 1 || end?.signal === 'SIGKILL', JSON.stringify(end)).toBe(true);
      expect(stalled()).toBeGreaterThan(0);
    } finally {
      await second.kill9();
    }
    await traffic.untilDone();
    await expectCleanAfterStandstill(traffic);
    expect(await traffic.deadLetters()).toEqual([]);
  });
});
