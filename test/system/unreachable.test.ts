import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type System, startSystem, TEST_TIMEOUT_MS } from '../support/system.ts';

const COMMAND = fileURLToPath(new URL('../../src/cli/roomline.mjs', import.meta.url));
/** A name that no resolver even asks for: its first label is too long. */
const UNRESOLVABLE = `https://${'x'.repeat(64)}.example`;

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

  test('ends at an error that nobody handles, and its next start takes over', async () => {
    const { engine } = system.rig;
    await engine.stop();
    const planted = 'setTimeout(() => { Promise.reject(new Error("planted")); }, 1500)';
    const child = spawn(
      process.execPath,
      ['--import', `data:text/javascript,${planted}`, COMMAND, 'serve', '--config', engine.configFile],
      { stdio: ['ignore', 'pipe', 'inherit'] },
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
