import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { BROKEN_HANDSHAKES, CERTIFICATE_FILE } from '../../../simulators/platform/tls.ts';
import { nextRecord, type Platform, recordsOf, sendTo, startPlatform } from './support.ts';

const MAIN = fileURLToPath(new URL('../../../simulators/platform/main.ts', import.meta.url));
const WITH_TLS = { tls: true };
const CUT = /ECONNRESET|UND_ERR_SOCKET/;

const broken = (platform: Platform) =>
  recordsOf(platform, 'event')
    .filter(({ event }) => event === 'handshake_broken')
    .map(({ detail }) => detail as { conn: number; how: string });

const portOf = ({ url }: { url: string }) => Number(new URL(url).port);

describe('a platform with TLS', () => {
  test('serves https with its certificate, to those alone who trust it; the control port stays plain', async () => {
    const platform = await startPlatform({}, WITH_TLS);
    expect(platform.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    expect(platform.controlUrl).toMatch(/^http:/);
    const send = sendTo(platform);
    for (let n = 0; n < 8; n++) expect((await send()).status).toBe(200);
    // Connections serve more than one request.
    expect(new Set(recordsOf(platform, 'receipt').map(({ conn }) => conn)).size).toBeLessThan(8);
    expect((await sendTo({ url: platform.url.replace('127.0.0.1', 'localhost') })()).status).toBe(200);
    expect((await fetch(`${platform.controlUrl}/control/stats`)).status).toBe(200);
    await expect(fetch(`${platform.url}/v1/messages`)).rejects.toMatchObject({ cause: { code: /SELF_SIGNED/ } });
    expect((await sendTo({ url: platform.url.replace('https', 'http') })()).status).not.toBe(200);
    expect(platform.control.stats()).toMatchObject({ accepted: 9, faults: {} });
  });

  test.each([
    ['before_read', 0],
    ['after_acceptance', 1],
    ['mid_response', 1],
  ] as const)('resets connections %s', async (when, accepted) => {
    const faults = { cut: { kind: 'reset', when, probability: 1, attempts: 1 } } as const;
    const platform = await startPlatform({ message: { send: { faults } } }, WITH_TLS);
    const send = sendTo(platform);
    expect((await send()).error).toMatch(CUT);
    expect(platform.control.stats()).toMatchObject({ accepted, faults: {} });
    expect(recordsOf(platform, 'answer')).toMatchObject([{ status: 0, unknownOutcome: true }]);
    expect((await send({ attempt: 2 })).status).toBe(200);
  });

  test('has the outages of connections, too', async () => {
    const platform = await startPlatform({}, WITH_TLS);
    const send = sendTo(platform);
    const { control } = platform;
    await send();
    control.scheduleOutage({ kind: 'refuse' });
    expect((await send()).error).toMatch(/ECONNREFUSED|ECONNRESET|UND_ERR_SOCKET/);
    expect((await send()).error).toBe('ECONNREFUSED');
    control.endOutages();
    control.scheduleOutage({ kind: 'reset' });
    expect((await send()).error).toMatch(CUT);
    control.endOutages();
    control.scheduleOutage({ kind: 'black_hole' });
    const swallowed = send();
    await expect.poll(() => control.stats().faults.swallowed).toBe(1);
    control.endOutages();
    expect((await swallowed).error).toMatch(CUT);
    expect((await send()).status).toBe(200);
    expect(control.stats().connections).toBe(1);
  });

  test('doubts an answer after which the client ends its connection at once', async () => {
    const platform = await startPlatform({}, WITH_TLS);
    const doubted = nextRecord(platform, ({ t }) => t === 'doubt');
    const socket = connectTls({ host: '127.0.0.1', port: portOf(platform), ca: readFileSync(CERTIFICATE_FILE) });
    onTestFinished(() => void socket.destroy());
    const body = JSON.stringify({ reference: 'one', to: '+15550100001', content: { text: 'Hello' } });
    const head = [
      'POST /v1/messages HTTP/1.1',
      'host: platform',
      'authorization: Bearer any',
      'content-type: application/json',
      'idempotency-key: one',
      'roomline-attempt: 1',
      'roomline-worker: worker-1',
      'roomline-generation: 1',
      `content-length: ${body.length}`,
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 200/);
    socket.end();
    const [receipt] = recordsOf(platform, 'receipt');
    expect(await doubted).toMatchObject({ t: 'doubt', r: receipt?.r });
  });
});

describe('a tls outage (S14)', () => {
  test.each([
    ['reset', /^ECONNRESET$/],
    ['close', /^ECONNRESET$/],
    ['alert', /^ERR_SSL_.*HANDSHAKE_FAILURE/],
    ['garbage', /^ERR_SSL_WRONG_VERSION_NUMBER/],
    ['untrusted', /SELF_SIGNED|^CERT_|^UNABLE_TO_/],
  ] as const)('with "%s" cuts open connections, breaks each new handshake, and ends', async (handshake, code) => {
    const platform = await startPlatform({}, WITH_TLS);
    const { control } = platform;
    const send = sendTo(platform);
    expect((await send()).status).toBe(200);
    control.scheduleOutage({ kind: 'tls', handshake });
    // One of them may have been begun on the connection that was open.
    const errors = [await send(), await send(), await send()].map(({ error }) => error);
    expect(errors.slice(1)).toEqual([expect.stringMatching(code), expect.stringMatching(code)]);
    const connections = broken(platform).map(({ conn, how }) => {
      expect(how).toBe(handshake);
      return conn;
    });
    expect(connections.length).toBeGreaterThanOrEqual(2);
    expect(new Set(connections).size).toBe(connections.length);
    const { accepted, requests, faults } = control.stats();
    expect({ accepted, requests }).toEqual({ accepted: 1, requests: 1 });
    expect(faults).toEqual({ outage_tls: 1, [`handshake_${handshake}`]: connections.length });
    control.endOutages();
    expect((await send()).status).toBe(200);
    await expect.poll(() => control.stats().connections).toBe(1);
  });

  test('breaks handshakes in drawn ways, the same ones under the same seed', async () => {
    const ways = async (seed: number) => {
      const platform = await startPlatform({}, { tls: true, seed });
      platform.control.scheduleOutage({ kind: 'tls' });
      const send = sendTo(platform);
      for (let n = 0; n < 25; n++) expect((await send()).status).toBe(0);
      expect(platform.control.stats().requests).toBe(0);
      return broken(platform);
    };
    const [first, again, other] = [await ways(1), await ways(1), await ways(2)];
    expect(first).toHaveLength(25);
    expect(new Set(first.map(({ how }) => how))).toEqual(new Set(BROKEN_HANDSHAKES));
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
  });

  test('throws away what a client sends that trusts anybody', async () => {
    const platform = await startPlatform({}, WITH_TLS);
    platform.control.scheduleOutage({ kind: 'tls', handshake: 'untrusted' });
    const socket = connectTls({ host: '127.0.0.1', port: portOf(platform), rejectUnauthorized: false });
    const failed = once(socket, 'error');
    socket.write('POST /v1/messages HTTP/1.1\r\nhost: a\r\nauthorization: Bearer any\r\ncontent-length: 2\r\n\r\n{}');
    expect(await failed).toMatchObject([{ code: 'ECONNRESET' }]);
    expect(recordsOf(platform, 'receipt')).toMatchObject([{ decision: 'dropped', fault: 'outage_tls' }]);
  });

  test('counts no handshake that nobody began, and keeps no connection that the client ends', async () => {
    const platform = await startPlatform({}, WITH_TLS);
    platform.control.scheduleOutage({ kind: 'tls' });
    const socket = connectTcp(portOf(platform), '127.0.0.1');
    await once(socket, 'connect');
    await expect.poll(() => platform.control.stats().connections).toBe(1);
    socket.end();
    await once(socket, 'close');
    await expect.poll(() => platform.control.stats().connections).toBe(0);
    expect(broken(platform)).toEqual([]);
  });

  test('needs TLS, and hits the whole platform', async () => {
    const plain = await startPlatform();
    expect(() => plain.control.scheduleOutage({ kind: 'tls' })).toThrow(/plain HTTP; start the platform with --tls/);
    const platform = await startPlatform({}, WITH_TLS);
    const { control } = platform;
    expect(() => control.scheduleOutage({ kind: 'tls', channel: 'default' })).toThrow(/names no channel/);
    expect(() => control.scheduleOutage({ kind: 'tls', handshake: 'slow' as never })).toThrow(/handshake/);
    expect([...plain.control.outages(), ...control.outages()]).toEqual([]);
  });
});

describe('the process', () => {
  const start = (flags: string[]) => {
    const directory = mkdtempSync(join(tmpdir(), 'roomline-platform-'));
    const config = join(directory, 'config.json');
    writeFileSync(config, JSON.stringify({ outages: [{ kind: 'tls' }] }));
    const child = spawn(process.execPath, [MAIN, '--config', config, ...flags]);
    onTestFinished(() => {
      child.kill('SIGKILL');
      rmSync(directory, { recursive: true });
    });
    return child;
  };

  test('serves https with --tls', async () => {
    const child = start(['--tls']);
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const { url, controlUrl } = JSON.parse(line.toString());
    expect(url).toMatch(/^https:/);
    expect(await (await fetch(`${controlUrl}/control/outages`)).json()).toEqual([{ kind: 'tls' }]);
    expect((await sendTo({ url })()).status).toBe(0);
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  test('without it refuses an outage of TLS in one line, and ends', async () => {
    const child = start([]);
    let said = '';
    child.stderr.on('data', (text) => {
      said += text;
    });
    expect(await once(child, 'close')).toEqual([1, null]);
    expect(said).toMatch(/^outage: .* --tls\n$/);
  });
});
