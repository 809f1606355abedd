import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BROKEN_HANDSHAKES } from '../../simulators/platform/tls.ts';
import { startRig } from '../../simulators/rig/rig.ts';
import { type LogLine, SETTINGS, System, startSystem, TEST_TIMEOUT_MS } from '../support/system.ts';

const COMMAND = fileURLToPath(new URL('../../src/cli/roomline.mjs', import.meta.url));
/** A name that no resolver even asks for: its first label is too long. */
const UNRESOLVABLE = `https://${'x'.repeat(64)}.example`;

const between = (minMs: number, maxMs: number) => ({ kind: 'uniform', minMs, maxMs }) as const;

/** What steers the tests is no setting of Roomline, which refuses what it does not know. */
function withoutOurSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('ROOMLINE_')));
}

describe('A Roomline that cannot go on', { timeout: TEST_TIMEOUT_MS }, () => {
  let system: System;

  beforeAll(async () => {
    system = await startSystem({ channels: { unresolved: {}, untrusted: {}, main: {} } });
  });

  afterAll(() => system?.stop());

  test('waits for platforms whose name does not resolve or whose TLS fails, and fails no message for it', async () => {
    const { engine } = system.rig;
    const right = readFileSync(engine.configFile, 'utf8');
    const wrong = JSON.parse(right) as { channels: Record<string, { baseUrl: string }> };
    // The platform speaks plain HTTP: no handshake with it can succeed.
    const port = new URL(wrong.channels.untrusted?.baseUrl ?? '').port;
    wrong.channels.unresolved = { ...wrong.channels.unresolved, baseUrl: UNRESOLVABLE };
    wrong.channels.untrusted = { ...wrong.channels.untrusted, baseUrl: `https://127.0.0.1:${port}` };
    await engine.stop();
    writeFileSync(engine.configFile, JSON.stringify(wrong));
    await engine.start();

    const traffics = ['unresolved', 'untrusted', 'main'].map((channel) =>
      system.traffic(channel, { rooms: 10, messages: 3, channel }),
    );
    for (const traffic of traffics) await traffic.publish();
    await traffics[2]?.untilDone();
    for (const [name, reason] of [
      ['unresolved', 'connect_dns'],
      ['untrusted', 'connect_tls'],
    ] as const) {
      await system.eventually(`${name} says why it is stopped`, async () => {
        const channel = await system.channel(name);
        return channel.state === 'stopped' && channel.reason === reason;
      });
    }

    await engine.stop();
    writeFileSync(engine.configFile, right);
    await engine.start();
    for (const traffic of traffics) {
      await traffic.untilDone();
      const verdict = await traffic.expectClean();
      expect(verdict.duplicates.extraReceipts).toBe(0);
      expect(await traffic.deadLetters()).toEqual([]);
    }
  });

  test('says at its start whose acks find no way to it', async () => {
    const { engine, directory } = system.rig;
    const right = readFileSync(engine.configFile, 'utf8');
    const more = JSON.parse(right) as { channels: Record<string, Record<string, unknown>> };
    const keyFile = join(directory, 'vonage-key');
    writeFileSync(keyFile, '1a2b3c4d:a-made-up-secret', { mode: 0o600 });
    const vonage = { ...more.channels.main, platform: 'vonage', vonage: { from: '15550100002', channel: 'sms' } };
    more.channels.deaf = { ...vonage, accessToken: { file: keyFile } };
    more.channels.content = { ...more.channels.deaf, unlockedBy: 'accepted' };
    await engine.stop();
    writeFileSync(engine.configFile, JSON.stringify(more));
    await engine.start();
    const warnings = system.logged('webhook.address_missing');
    expect(warnings).toMatchObject([{ level: 'warn', channel: 'default/deaf', code: 'public_url_missing' }]);
    await engine.stop();
    writeFileSync(engine.configFile, right);
    await engine.start();
  });

  test('ends at an error that nobody handles, and its next start takes over', async () => {
    const { engine } = system.rig;
    await engine.stop();
    const planted = 'setTimeout(() => { Promise.reject(new Error("planted")); }, 1500)';
    const child = spawn(
      process.execPath,
      ['--import', `data:text/javascript,${planted}`, COMMAND, 'serve', '--config', engine.configFile],
      { stdio: ['ignore', 'pipe', 'inherit'], env: withoutOurSettings(process.env) },
    );
    let log = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    const [code] = await once(child, 'close');
    expect(code).toBe(1);
    expect(log).toContain('"event":"process.failed","reason":"unhandled_rejection"');
    expect(log).toContain('"event":"process.stopped"');
    await engine.start();
    const traffic = system.traffic('after', { rooms: 5, messages: 2, channel: 'main' });
    await traffic.publish();
    await traffic.untilDone();
    await traffic.expectClean();
  });
});

describe('A Roomline whose platform speaks TLS', { timeout: TEST_TIMEOUT_MS }, () => {
  let system: System;

  beforeAll(async () => {
    const directory = mkdtempSync(join(tmpdir(), 'roomline-system-'));
    // As root, Postgres runs under another account, which must be able to enter.
    chmodSync(directory, 0o755);
    const channelDefaults = { ...SETTINGS.channelDefaults, probe: { initialMs: 100, maxMs: 300 } };
    const rig = await startRig({
      directory,
      platformTls: true,
      channels: { main: {} },
      settings: { ...SETTINGS, channelDefaults },
      platform: [{ message: { send: { responseDelayMs: between(5, 60) }, phone: { delayMs: between(20, 200) } } }],
    });
    system = new System(rig);
  });

  afterAll(() => system?.stop());

  test('sends over it, waits while handshakes fail in every way, and fails no message for it', async () => {
    const { platform } = system.rig;
    expect(platform.url).toMatch(/^https:/);
    const traffic = system.traffic('tls', { rooms: 20, messages: 10 });
    const published = traffic.publish(4_000);
    await traffic.untilSettled(traffic.size * 0.1);

    await platform.scheduleOutage({ kind: 'tls' });
    await system.eventually('the channel says that TLS is why it is stopped', async () => {
      const { state, reason } = await system.channel('main');
      return state === 'stopped' && reason === 'connect_tls';
    });
    await system.eventually('handshakes have been broken in every way', async () => {
      const { faults } = await platform.stats();
      return BROKEN_HANDSHAKES.every((how) => (faults[`handshake_${how}`] ?? 0) > 0);
    });
    await published;
    const { refused, used } = await attemptsSoFar();
    expect(refused).toBeGreaterThan(0);
    expect(used, 'attempts used up by what was not sent').toBe(0);
    await platform.endOutages();
    await traffic.untilDone();

    const verdict = await traffic.expectClean();
    const { acked = 0, assumed = 0 } = verdict.messages.outcomes;
    expect(acked + assumed, 'settled as sent').toBe(traffic.size);
    expect(await traffic.deadLetters()).toEqual([]);
    expect(verdict.duplicates.extraReceipts).toBeLessThanOrEqual(verdict.receipts.unknownOutcomes);
    // Counted once, as the outage: not one request has come through a broken handshake.
    expect((await platform.stats()).faults.outage_tls).toBe(1);
    expect(await brokenConnections()).toBe(verdict.faults.handshake_broken);
    expect((await system.channel('main')).state).toBe('open');
    await expectDiscreetLog();
  });

  /** Attempts of the messages that wait: those that failed to connect, and those used up without an unknown outcome. */
  async function attemptsSoFar(): Promise<{ refused: number; used: number }> {
    const [sums] = await system.query<{ refused: number; used: number }>(
      `SELECT coalesce(sum(refused), 0)::integer AS refused, coalesce(sum(greatest(spent - unknown, 0)), 0)::integer AS used
       FROM rooms, LATERAL (
         SELECT count(*) FILTER (WHERE starts_with(a->>'code', 'connect_')) AS refused,
                count(*) FILTER (WHERE a->>'result' = 'unknown') AS unknown
         FROM json_array_elements(attempts) a
       ) sums`,
    );
    if (sums === undefined) throw new Error('no sums');
    return sums;
  }

  /** Connections of which the ground truth says once that their handshake was broken. @throws Error where it says it twice */
  async function brokenConnections(): Promise<number> {
    const connections = new Set<number>();
    for await (const record of system.rig.platform.groundTruth()) {
      if (record.t !== 'event' || record.event !== 'handshake_broken') continue;
      const { conn } = record.detail as { conn: number };
      if (connections.has(conn)) throw new Error(`the handshake of connection ${conn} is counted twice`);
      connections.add(conn);
    }
    return connections.size;
  }

  /** Handshakes that fail are told of by their codes: no stack, no words of OpenSSL, no part of a message. */
  async function expectDiscreetLog(): Promise<void> {
    const lines = system.log().trim().split('\n');
    const failures = lines.map((line) => JSON.parse(line) as LogLine).filter(({ code }) => code === 'connect_tls');
    expect(failures.length).toBeGreaterThan(0);
    expect(lines.filter((line) => /"stack"|\bat .+:\d+:\d+|SSL routines|CERTIFICATE/.test(line))).toEqual([]);
    expect(await system.leaks()).toEqual([]);
  }
});
