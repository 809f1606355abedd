/**
 * The demonstration of each real platform, small and quick: its wire format in both directions through the real adapter,
 * two ways without Roomline beside it, and the oracle's verdict.
 */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import PQueue from 'p-queue';
import { describe, expect, it } from 'vitest';
import { DEMO_CHANNELS, type DemoChannel } from '../../simulators/demo/channels.ts';
import { runDemo } from '../../simulators/demo/run.ts';
import { rigOptions } from '../../simulators/demo/scenario.ts';
import type { MessagePatch } from '../../simulators/platform/settings.ts';
import { directToken } from '../../simulators/rig/credentials.ts';
import { type Rig, startRig } from '../../simulators/rig/rig.ts';

const TIMEOUT_MS = 240_000;
const REAL = Object.values(DEMO_CHANNELS).filter(({ profile }) => profile !== 'generic');
const ROOMS = 20;
const MESSAGES = 4;
const ACK_TIMEOUT_MS = 1_500;

/** Telegram's phones show in the order of arrival as they are. */
const quickPhones = ({ ack }: DemoChannel): MessagePatch =>
  ack === null ? {} : { phone: { delayMs: { kind: 'lognormal', medianMs: 150, p99Ms: 1_000 } } };

describe.concurrent('the demonstration', { timeout: TIMEOUT_MS }, () => {
  // More at once starve the platforms, whose word for when an answer left is what order is judged by.
  const turns = new PQueue({ concurrency: 3 });

  it.each(REAL)('of $profile delivers in order, with the platform as it is', (channel) =>
    turns.add(() => show(channel)),
  );

  async function show(channel: DemoChannel): Promise<void> {
    const { profile, fake } = channel;
    const quick: DemoChannel = {
      ...channel,
      ackTimeoutMs: ACK_TIMEOUT_MS,
      fake: { ...fake, message: { ...fake.message, ...quickPhones(channel) } },
    };
    const tokens = { atOnce: directToken(profile), pause: directToken(profile) };
    const directory = mkdtempSync(join(tmpdir(), `roomline-${profile}-`));
    // Run as root, Postgres has an account of its own.
    chmodSync(directory, 0o755);
    try {
      const rig = await startRig({ directory, ...rigOptions(quick, tokens) });
      try {
        const verdict = await runDemo({
          rig,
          run: 'small',
          channel: quick,
          tokens,
          options: { rooms: ROOMS, messages: MESSAGES, seed: 1 },
          signal: AbortSignal.timeout(TIMEOUT_MS),
          onProgress: () => undefined,
          progressEveryMs: 5_000,
        });
        // First what says most where a run is not clean.
        expect(verdict.roomline.violations).toEqual([]);
        expect(verdict.problems).toEqual([]);
        expect(verdict).toMatchObject({
          clean: true,
          channel: profile,
          roomline: { messages: 80, lost: 0, swapsAfterAcked: 0, violationsR2: 0, violationsR3: 0 },
          everythingAtOnce: { messages: 80, lost: 0 },
          fixedPause: { messages: 80, lost: 0 },
        });
        const { acked = 0, assumed = 0 } = verdict.roomline.outcomes;
        expect(acked + assumed).toBe(80);
        // Most messages were acked by the platform's own words, and what was not is what lost its acks.
        expect(acked).toBeGreaterThan(40);
        expect(verdict.roomline.acksLost > 0).toBe(channel.ack !== null);
        expect(verdict.everythingAtOnce.swaps).toBeGreaterThan(0);
        await refusesForgeries(rig.engine.url, profile === 'vonage' ? 503 : 401);
        await takesPlainText(rig, channel.words.room);
      } finally {
        await rig.stop();
      }
      const config = readFileSync(join(directory, 'engine.json'), 'utf8');
      for (const name of readdirSync(join(directory, 'secrets'))) {
        expect(config).not.toContain(readFileSync(join(directory, 'secrets', name), 'utf8').trim());
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
});

/** What the demonstration prints to be tried. */
async function takesPlainText(rig: Rig, room: string): Promise<void> {
  const headers = { authorization: `Bearer ${rig.apiKey}`, 'content-type': 'application/json' };
  const body = JSON.stringify({ channel: 'demo', room, content: { text: 'Hello' } });
  const published = await fetch(`${rig.engine.url}/v1/messages`, { method: 'POST', headers, body });
  expect(published.status).toBe(202);
  const { id } = (await published.json()) as { id: string };
  await rig.untilDrained({ deadlineMs: 30_000 });
  const asked = await fetch(`${rig.engine.url}/v1/messages/${id}`, { headers });
  const { outcome } = (await asked.json()) as { outcome: string };
  expect(['acked', 'assumed']).toContain(outcome);
}

/** What can be a passing fault of the platform's set-up is answered so that it is told again. */
async function refusesForgeries(url: string, status: 401 | 503): Promise<void> {
  const body = '{"anything":"at all"}';
  const answer = await fetch(`${url}/v1/webhooks/default/demo`, { method: 'POST', body });
  expect(answer.status).toBe(status);
}
