/** A fleet of real processes by roles: one worker is killed under load, and the others go on for it. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Fleet } from '../../simulators/cluster/fleet.ts';
import { load } from '../../simulators/rig/publisher.ts';
import type { PublisherLog } from '../../simulators/rig/publisher-log.ts';
import { eventually } from '../support/events.ts';
import { ACK_TIMEOUT_MS, QUICK_PLATFORM, SETTINGS, TEST_TIMEOUT_MS } from '../support/system.ts';

const ROOMS = 60;
const MESSAGES = 12;
const DEADLINE = { deadlineMs: 60_000, everyMs: 50 };

let directory: string;
let fleet: Fleet;
let log: PublisherLog;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'roomline-fleet-'));
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

test('the shards are shared by the workers, and by nobody else', { timeout: TEST_TIMEOUT_MS }, async () => {
  const shares = await eventually(
    'both hold their half',
    async () => {
      const found = await fleet.shares();
      return Math.abs((found.get('worker-1') ?? 0) - (found.get('worker-2') ?? 0)) <= 1 && found.size === 2 && found;
    },
    DEADLINE,
  );
  expect([...shares.keys()].sort()).toEqual(['worker-1', 'worker-2']);
});

test('a killed worker loses nothing, and its rooms go on', { timeout: TEST_TIMEOUT_MS }, async () => {
  const { publisher, log: published } = fleet.rig.publisher();
  log = published;
  await publisher.publish(load('fleet', 'main', ROOMS, MESSAGES));
  await eventually(
    'a quarter is settled',
    async () => {
      const settled = (await fleet.rig.database.finalState('main')).filter(({ outcome }) => outcome !== null);
      return settled.length >= (ROOMS * MESSAGES) / 4;
    },
    DEADLINE,
  );
  const { worker, process } = fleet.node('worker-1');
  const held = await fleet.roomsOf(worker ?? '');
  await process.kill9();
  expect(held.length).toBeGreaterThan(0);
  await fleet.rig.untilDrained({ deadlineMs: DEADLINE.deadlineMs });
  await fleet.rig.untilQuiet({ deadlineMs: DEADLINE.deadlineMs });
  expect([...(await fleet.shares()).keys()]).toEqual(['worker-2']);
});

test('a worker that ends in good order hands its rooms to one that joined', { timeout: TEST_TIMEOUT_MS }, async () => {
  await fleet.add({ name: 'worker-3', roles: ['worker'] });
  const shared = async () => ((await fleet.shares()).get('worker-3') ?? 0) > 0;
  await eventually('it holds shards', shared, DEADLINE);
  const end = await fleet.node('worker-2').process.stop();
  expect(end?.code).toBe(0);
  expect([...(await fleet.shares()).keys()]).toEqual(['worker-3']);
});

test('the oracle finds nothing lost, out of order, or sent twice without a reason', async () => {
  const { rig } = fleet;
  const [verdict] = await rig.judge([
    {
      published: log.entries(),
      final: await rig.database.finalState('main'),
      inbox: await rig.database.inbox('main'),
      fences: await rig.database.fences(),
      options: { ackTimeoutMs: ACK_TIMEOUT_MS, expectedMessages: ROOMS * MESSAGES, killedHolders: 1 },
    },
  ]);
  expect({ broken: verdict?.broken, violations: verdict?.violations }).toEqual({ broken: {}, violations: [] });
  expect(verdict?.messages.outcomes.acked ?? 0).toBeGreaterThan(ROOMS);
});
