/**
 * A calm run of a fleet on Google's own emulator, with two intakes on one subscription. The emulator gives a key to a
 * consumer that joins while another one still has messages of it, so that intakes that come and go are tried elsewhere.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Fleet } from '../../simulators/cluster/fleet.ts';
import { load, Publisher } from '../../simulators/rig/publisher.ts';
import { PublisherLog } from '../../simulators/rig/publisher-log.ts';
import { connectPublisher, createOutbound, TOPIC_NAME } from '../../simulators/rig/pubsub.ts';
import { eventually } from '../support/events.ts';
import { findPubSubEmulator, isPubSubEmulatorRequired, startPubSubEmulator } from '../support/pubsub-emulator.ts';
import { ACK_TIMEOUT_MS, QUICK_PLATFORM, SETTINGS, TEST_TIMEOUT_MS } from '../support/system.ts';

const ROOMS = 40;
const MESSAGES = 12;
const DEADLINE = { deadlineMs: 60_000, everyMs: 50 };

const emulator = findPubSubEmulator();
const absent = 'missing' in emulator && !isPubSubEmulatorRequired();
if (absent) console.log(`A fleet on Google's emulator: not run, because ${emulator.missing}.`);

test.runIf(!absent)('keeps the order of every room', { timeout: TEST_TIMEOUT_MS }, async () => {
  if ('missing' in emulator) throw new Error(`Google's Pub/Sub emulator is required here, but ${emulator.missing}.`);
  const directory = mkdtempSync(join(tmpdir(), 'roomline-emulator-'));
  chmodSync(directory, 0o755);
  const pubsub = await startPubSubEmulator(emulator.jar);
  try {
    await createOutbound(pubsub.address);
    const fleet = await Fleet.start({
      directory,
      seed: 1,
      nodes: [
        { name: 'worker-1', roles: ['worker', 'webhook'] },
        { name: 'worker-2', roles: ['worker'] },
        { name: 'intake-1', roles: ['intake'] },
        { name: 'intake-2', roles: ['intake'] },
      ],
      channels: { main: {} },
      settings: { ...SETTINGS, pubsub: { endpoint: pubsub.address } },
      platform: [QUICK_PLATFORM],
    });
    const log = new PublisherLog(join(directory, 'published-at-the-emulator'));
    const publisher = new Publisher({ connect: () => connectPublisher(pubsub.address), topicName: TOPIC_NAME }, log);
    try {
      const messages = [...load('calm', 'main', ROOMS, MESSAGES)];
      const settled = async (least: number): Promise<boolean> => {
        const final = await fleet.rig.database.finalState('main');
        return final.filter(({ outcome }) => outcome !== null).length >= least;
      };
      await publisher.publish(messages, { batch: 20 });
      await eventually('all is settled', () => settled(messages.length), DEADLINE);
      await fleet.rig.untilQuiet({ deadlineMs: DEADLINE.deadlineMs });

      const { rig } = fleet;
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
      expect(verdict?.messages.outcomes.acked ?? 0).toBeGreaterThan(ROOMS);
    } finally {
      await publisher.close();
      await fleet.stop();
    }
  } finally {
    await pubsub.stop();
    rmSync(directory, { recursive: true, force: true });
  }
});
