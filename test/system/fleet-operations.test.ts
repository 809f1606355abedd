/** What operators do with a fleet of real processes, from the command line, while messages flow. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Fleet } from '../../simulators/cluster/fleet.ts';
import { load } from '../../simulators/rig/publisher.ts';
import { runRoomline } from '../support/command.ts';
import { eventually } from '../support/events.ts';
import { ACK_TIMEOUT_MS, QUICK_PLATFORM, SETTINGS, TEST_TIMEOUT_MS } from '../support/system.ts';

const ROOMS = 60;
const MESSAGES = 12;
const DEADLINE = { deadlineMs: 60_000, everyMs: 50 };

let directory: string;
let fleet: Fleet;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'roomline-fleet-operations-'));
  // As root, Postgres runs under another account, which must be able to enter.
  chmodSync(directory, 0o755);
  fleet = await Fleet.start({
    directory,
    seed: 1,
    nodes: [
      { name: 'worker-1', roles: ['worker'] },
      { name: 'worker-2', roles: ['worker'] },
      { name: 'front-1', roles: ['intake', 'api', 'webhook'] },
    ],
    channels: { main: {} },
    settings: SETTINGS,
    platform: [QUICK_PLATFORM],
  });
}, TEST_TIMEOUT_MS);

afterAll(async () => {
  await fleet?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** Runs one command line against the front. */
const roomline = (...args: string[]) =>
  runRoomline({ url: fleet.node('front-1').process.url, key: fleet.rig.apiKey }, args);

const shares = async (): Promise<Record<string, number>> => Object.fromEntries(await fleet.shares());

test('a worker is drained while messages flow: the other has every shard, and nothing is lost', {
  timeout: TEST_TIMEOUT_MS,
}, async () => {
  const { rig } = fleet;
  const isShared = async () => Math.abs(((await shares())['worker-1'] ?? 0) - ((await shares())['worker-2'] ?? 0)) <= 1;
  await eventually('both hold their half', isShared, DEADLINE);
  const all = Object.values(await shares()).reduce((sum, held) => sum + held, 0);

  const { publisher, log } = rig.publisher();
  await publisher.publish(load('drain', 'main', ROOMS, MESSAGES));
  const settled = async () => (await rig.database.finalState('main')).filter(({ outcome }) => outcome !== null).length;
  await eventually('a quarter is settled', async () => (await settled()) >= (ROOMS * MESSAGES) / 4, DEADLINE);
  expect(await roomline('drain', 'worker-1', '--wait')).toMatchObject({
    status: 0,
    out: expect.stringMatching(/^worker-1 \(.+\) holds nothing\.\n$/),
  });
  expect(await settled()).toBeLessThan(ROOMS * MESSAGES);
  expect(await shares()).toEqual({ 'worker-2': all });
  const workers = JSON.parse((await roomline('workers', '--json')).out).workers;
  expect(workers).toHaveLength(3);
  expect(workers).toContainEqual(expect.objectContaining({ name: 'worker-1', draining: true, shards: 0, waiting: 0 }));

  await rig.untilDrained({ deadlineMs: DEADLINE.deadlineMs });
  await rig.untilQuiet({ deadlineMs: DEADLINE.deadlineMs });
  const [verdict] = await rig.judge([
    {
      published: log.entries(),
      final: await rig.database.finalState('main'),
      inbox: await rig.database.inbox('main'),
      fences: await rig.database.fences(),
      options: { ackTimeoutMs: ACK_TIMEOUT_MS, expectedMessages: ROOMS * MESSAGES },
    },
  ]);
  expect({ broken: verdict?.broken, violations: verdict?.violations }).toEqual({ broken: {}, violations: [] });
});

test('a drain that is taken back, weights and pins lead to a plan by themselves', {
  timeout: TEST_TIMEOUT_MS,
}, async () => {
  const all = (await shares())['worker-2'] ?? 0;
  const becomes = (wanted: Record<string, number>) =>
    eventually(
      JSON.stringify(wanted),
      async () =>
        JSON.stringify(Object.entries(await shares()).sort()) === JSON.stringify(Object.entries(wanted).sort()),
      DEADLINE,
    );
  expect((await roomline('drain', 'worker-1', '--undo')).status).toBe(0);
  await becomes({ 'worker-1': all / 2, 'worker-2': all / 2 });
  expect((await roomline('rebalance', '--weight', 'worker-1=3', '--pin', '0-9=worker-2')).status).toBe(0);
  await becomes({ 'worker-1': (all / 4) * 3, 'worker-2': all / 4 });
  const pinned = JSON.parse((await roomline('shards', '--worker', 'worker-2', '--json')).out).shards;
  expect(pinned.slice(0, 10).map(({ shard }: { shard: number }) => shard)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(JSON.parse((await roomline('rebalance', '--progress', '--json')).out)).toMatchObject({
    running: false,
    promised: 0,
    last: { action: 'fleet.rebalance' },
  });
});
