import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { judge } from '../../../simulators/oracle/oracle.ts';
import type { OracleOptions, Published } from '../../../simulators/oracle/types.ts';
import { contentHash } from '../../../simulators/platform/content-hash.ts';
import type { SettingsPatch } from '../../../simulators/platform/settings.ts';
import { sendTo, startPlatform } from '../platform/support.ts';

const ACK_TIMEOUT_MS = 300;

/** Whether two sends of a room wait for each other, and how. */
interface Manners {
  /** Wait for the ack, or the ack timeout, before the next message. */
  waits: boolean;
  /** Send again after an unknown outcome. */
  resends: boolean;
}

/** The smallest sender that could keep the promises, against the real fake platform; and its verdict. */
const run = async (settings: SettingsPatch, manners: Manners, options: OracleOptions = {}) => {
  const acked = new Map<string, () => void>();
  const early = new Set<string>();
  const receiver = createServer((incoming, response) => {
    let raw = '';
    incoming.on('data', (chunk) => {
      raw += chunk;
    });
    incoming.on('end', () => {
      for (const { reference, status } of JSON.parse(raw).statuses) {
        if (status !== 'delivered') continue;
        early.add(reference);
        acked.get(reference)?.();
      }
      response.end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    receiver.closeAllConnections();
    receiver.close();
  });
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
  const platform = await startPlatform({
    ...settings,
    channels: { default: { webhook: { urls: [url], secret: 'x' } } },
  });
  const send = sendTo(platform);

  const rooms = Array.from({ length: 12 }, (_, room) =>
    Array.from({ length: 6 }, (_, index) => ({ key: `${room}/${index}`, text: `message ${index}` })),
  );
  const published: Published[] = rooms.flatMap((messages, room) =>
    messages.map((content) => ({ key: content.key, room: `room ${room}`, hash: contentHash(content) })),
  );

  const deliver = async (content: { key: string; text: string }, room: number) => {
    const reference = `ref-${content.key.replace('/', '-')}`;
    for (let attempt = 1; attempt <= 5; attempt++) {
      const answer = await send({ reference, to: `+${room}`, content, attempt }, 2_000);
      const known = answer.status === 200 && answer.body !== undefined;
      if (early.has(reference) || known || !manners.resends) break;
    }
    if (!manners.waits || early.has(reference)) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ACK_TIMEOUT_MS);
      acked.set(reference, () => {
        clearTimeout(timer);
        resolve();
      });
    });
  };
  await Promise.all(
    rooms.map(async (messages, room) => {
      if (!manners.waits) await Promise.all(messages.map((content) => deliver(content, room)));
      else for (const content of messages) await deliver(content, room);
    }),
  );
  await platform.control.whenIdle();
  return judge(
    { published, records: platform.groundTruth.records() },
    { ackTimeoutMs: ACK_TIMEOUT_MS, unlockedBy: ['delivered'], ...options },
  );
};

const phone = { delayMs: { kind: 'lognormal', medianMs: 15, p99Ms: 80 } } as const;
const faults = {
  reset: { kind: 'reset', when: 'after_acceptance', probability: 0.1 },
  error: { kind: 'server_error', status: 502, when: 'after_acceptance', probability: 0.1 },
  cut: { kind: 'truncate', probability: 0.05 },
  busy: { kind: 'refuse', status: 429, bare: true, probability: 0.1, attempts: 2 },
} as const;

describe('the oracle on the fake platform', () => {
  test('finds a polite sender clean, through lost acks and lost answers', async () => {
    const verdict = await run(
      { message: { phone, send: { faults }, status: { delivered: { lossProbability: 0.1 } } } },
      { waits: true, resends: true },
      { expectedMessages: 72, expectedFaults: { reset: 1, error: 1, busy: 1, status_lost_delivered: 1 } },
    );
    expect(verdict.violations).toEqual([]);
    expect(verdict.clean).toBe(true);
    expect(verdict.messages).toMatchObject({ published: 72, shown: 72, lost: 0 });
    expect(verdict.messages.orderProven).toBeGreaterThan(0.6);
    expect(verdict.duplicates.extraReceipts).toBeGreaterThan(0);
    expect(verdict.duplicates.extraReceipts).toBeLessThanOrEqual(verdict.receipts.unknownOutcomes);
  });

  test('finds one that does not wait guilty, and sees the swaps on its phones', async () => {
    const settings = { message: { phone } };
    const verdict = await run(settings, { waits: false, resends: true });
    expect(verdict.clean).toBe(false);
    expect(verdict.broken.R3_two_in_flight).toBeGreaterThan(0);
    const swaps = await run(settings, { waits: false, resends: true }, { discipline: 'none' });
    expect(swaps.clean).toBe(true);
    expect(swaps.swaps.total).toBeGreaterThan(10);
  });

  test('finds one that never sends again guilty of losses', async () => {
    const lossy = { reset: { kind: 'reset', when: 'after_read', probability: 0.3 } } as const;
    const verdict = await run({ message: { phone, send: { faults: lossy } } }, { waits: true, resends: false });
    expect(verdict.broken.R1_lost).toBeGreaterThan(0);
    expect(verdict.messages.lost).toBe(verdict.broken.R1_lost);
  });
});
