import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { request } from 'undici';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { GroundTruthRecord } from '../../../simulators/platform/ground-truth.ts';
import { createFakePlatform } from '../../../simulators/platform/platform.ts';
import { instant } from '../../../simulators/platform/settings.ts';
import { SECRET, sendTo, startPlatform, startReceiver } from './support.ts';

const call = async (url: string, method: 'GET' | 'POST' | 'PATCH' | 'DELETE', body?: unknown) => {
  const answer = await request(url, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  const text = await answer.body.text();
  return { status: answer.statusCode, text, json: () => JSON.parse(text) };
};

const parseLines = (text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as GroundTruthRecord);

const temporaryFolder = async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fake-platform-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
};

describe('the control API', () => {
  test('changes knobs while running, all or nothing', async () => {
    const platform = await startPlatform();
    const send = sendTo(platform);
    const settings = `${platform.url}/control/settings`;
    const patch = { message: { send: { faults: { x: { kind: 'refuse', probability: 1, status: 429, bare: true } } } } };
    expect((await call(settings, 'PATCH', patch)).json()).toMatchObject(patch);
    expect((await send()).status).toBe(429);
    const bad = await call(settings, 'PATCH', { message: { send: { faults: { x: null }, speed: 1 } } });
    expect([bad.status, bad.json().error]).toEqual([400, 'message/send: unknown knob "speed"']);
    expect((await send()).status).toBe(429);
    expect((await call(settings, 'PATCH', { message: { send: { faults: { x: null } } } })).status).toBe(200);
    expect((await send()).status).toBe(200);
    expect((await call(settings, 'GET')).json().message.send.faults).toEqual({});
    const stats = (await call(`${platform.url}/control/stats`, 'GET')).json();
    expect(stats).toMatchObject({ requests: 3, accepted: 1, refused: 2, faults: { x: 2 } });
  });

  test('plans outages, and stays reachable on its own port while the platform refuses connections', async () => {
    const platform = await startPlatform();
    const outages = `${platform.controlUrl}/control/outages`;
    expect((await call(outages, 'POST', { kind: 'refuse' })).json()).toEqual([{ kind: 'refuse' }]);
    expect((await sendTo(platform)()).error).toBe('ECONNREFUSED');
    expect((await call(outages, 'GET')).json()).toHaveLength(1);
    expect((await call(outages, 'DELETE')).json()).toEqual([]);
    expect((await sendTo(platform)()).status).toBe(200);
    expect((await call(outages, 'POST', { kind: 'quake' })).status).toBe(400);
  });

  test('holds, flushes and injects statuses, and gives the ground truth', async () => {
    const receiver = await startReceiver();
    const platform = await startPlatform({
      channels: { default: { webhook: { urls: [receiver.url], secret: SECRET } } },
    });
    const webhooks = `${platform.url}/control/webhooks`;
    expect((await call(`${webhooks}/hold`, 'POST', { channel: 'default' })).status).toBe(200);
    await sendTo(platform)();
    await platform.control.whenIdle();
    expect(receiver.calls).toHaveLength(0);
    expect((await call(`${webhooks}/inject`, 'POST', { channel: 'default', items: [{ id: 'x' }] })).status).toBe(200);
    expect((await call(`${webhooks}/flush`, 'POST', {})).status).toBe(200);
    await receiver.until((calls) => calls.length === 3);
    expect(receiver.statuses().filter(({ id }) => id === 'x')).toHaveLength(1);
    await platform.control.whenIdle();
    const records = parseLines((await call(`${platform.url}/control/ground-truth`, 'GET')).text);
    expect(records).toEqual([...platform.groundTruth.records()]);
    expect(records[0]).toMatchObject({ t: 'start', at: expect.any(Number), seed: '7', profile: 'generic' });
  });

  test.each<[string, 'GET' | 'POST' | 'PATCH', unknown, number]>([
    ['nonsense', 'GET', undefined, 404],
    ['settings', 'POST', {}, 404],
    ['settings', 'PATCH', [], 400],
    ['settings', 'PATCH', 'text', 400],
    ['webhooks/hold', 'POST', { channel: 3 }, 400],
    ['webhooks/hold', 'POST', { channel: 'nobody' }, 400],
    ['webhooks/inject', 'POST', { channel: 'default' }, 400],
  ])('%s %s %j is refused', async (path, method, body, status) => {
    const platform = await startPlatform();
    const answer = await call(`${platform.url}/control/${path}`, method, body);
    expect(answer.status).toBe(status);
    expect(answer.json().error).toEqual(expect.any(String));
  });
});

describe('the ground truth', () => {
  test('in a file is the same as in memory, and complete after stop', async () => {
    const logFile = join(await temporaryFolder(), 'truth.ndjson');
    const platform = await startPlatform({}, { logFile });
    const send = sendTo(platform);
    await Promise.all(Array.from({ length: 200 }, () => send({ content: { text: 'ü\u2028"', key: 'Zürich "1"' } })));
    await platform.control.whenIdle();
    await platform.stop();
    const inFile = parseLines(await readFile(logFile, 'utf8'));
    expect(inFile).toEqual([...platform.groundTruth.records()]);
    expect(inFile.filter(({ t }) => t === 'shown')).toHaveLength(200);
    expect(inFile).toContainEqual(expect.objectContaining({ t: 'receipt', key: 'Zürich "1"' }));
    expect(inFile.map(({ at }) => at)).toEqual(inFile.map(({ at }) => at).sort((a, b) => a - b));
  });

  test('never holds a text', async () => {
    const platform = await startPlatform();
    await sendTo(platform)({ content: { text: 'canary-7b1f' } });
    await platform.control.whenIdle();
    const log = Buffer.concat([...platform.groundTruth.ndjson()]).toString();
    expect(log).not.toContain('canary');
  });

  test('kept in the file only, it cannot be read back', async () => {
    const logFile = join(await temporaryFolder(), 'truth.ndjson');
    const platform = await startPlatform({}, { logFile, keepInMemory: false });
    expect(() => [...platform.groundTruth.records()]).toThrow(/in its file only/);
  });
});

describe('the library', () => {
  test('stops while messages, webhooks and answers are under way', async () => {
    const receiver = await startReceiver(() => new Promise(() => undefined));
    const platform = await startPlatform({
      message: { send: { responseDelayMs: 30_000 }, status: { early: { probability: 1, holdMs: 30_000 } } },
      channels: { default: { webhook: { urls: [receiver.url], secret: SECRET } } },
    });
    const sending = sendTo(platform)();
    await receiver.until((calls) => calls.length > 0);
    await Promise.all([platform.stop(), platform.stop()]);
    expect((await sending).status).toBe(0);
  });

  test('runs on a clock and timers that are given to it', async () => {
    let now = 1_000;
    const timers: { at: number; run: () => void }[] = [];
    const platform = createFakePlatform({
      settings: [instant, { message: { phone: { delayMs: 5_000 } } }],
      clock: { wallMs: () => 1_700_000_000_000 + now, monotonicMs: () => now },
      timers: {
        set: (run, delayMs) => {
          const timer = { at: now + delayMs, run };
          timers.push(timer);
          return timer;
        },
        clear: (timer) => {
          timers.splice(timers.indexOf(timer as (typeof timers)[number]), 1);
        },
      },
    });
    await platform.start();
    onTestFinished(() => platform.stop());
    const { body } = await sendTo(platform)();
    expect(body.acceptedAt).toBe(1_700_000_001_000);
    now = 6_000;
    for (const timer of timers.splice(0)) if (timer.at <= now) timer.run();
    expect([...platform.groundTruth.records()]).toContainEqual({ t: 'shown', m: 1, at: 5_000, order: 1 });
  });
});

describe('the process', () => {
  const main = new URL('../../../simulators/platform/main.ts', import.meta.url).pathname;

  test('prints where it listens, obeys its flags and config, and ends on SIGTERM with a whole log', async () => {
    const folder = await temporaryFolder();
    const [config, log] = [join(folder, 'config.json'), join(folder, 'log.ndjson')];
    const receiver = await startReceiver();
    const settings = { message: { status: { sent: { probability: 0 } } } };
    await writeFile(config, JSON.stringify({ settings, outages: [{ kind: 'crawl', crawlMs: 40 }] }));
    const flags = ['--instant', '--seed', '9', '--config', config, '--log', log, '--token', 'token'];
    const child = spawn(process.execPath, [main, ...flags, '--webhook-url', receiver.url, '--webhook-secret', SECRET], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    const [line] = await once(createInterface({ input: child.stdout }), 'line');
    const { url, controlUrl, pid } = JSON.parse(line);
    expect(pid).toBe(child.pid);
    const answer = await sendTo({ url })({ token: 'token', reference: 'by-process' });
    expect(answer.status).toBe(200);
    expect(answer.tookMs).toBeGreaterThanOrEqual(38);
    expect((await sendTo({ url })({ token: 'other' })).status).toBe(401);
    await receiver.until((calls) => calls.length === 1);
    expect(receiver.calls[0]).toMatchObject({ signed: true, statuses: [{ reference: 'by-process' }] });
    expect((await call(`${controlUrl}/control/stats`, 'GET')).json()).toMatchObject({ accepted: 1 });
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
    const records = parseLines(await readFile(log, 'utf8'));
    expect(records[0]).toMatchObject({ t: 'start', seed: '9' });
    expect(records.map(({ t }) => t)).toContain('shown');
  });

  test('says in one line what is wrong with its flags', async () => {
    const wrong: [string[], RegExp][] = [
      [['--port', 'seven'], /"seven" is not a port/],
      [['--webhook-url', 'http://127.0.0.1:1/'], /belong together/],
      [['--speed', '9'], /--speed/],
      [['--log-only'], /--log-only needs --log/],
    ];
    const runs = wrong.map(async ([flags, message]) => {
      const child = spawn(process.execPath, [main, ...flags], { stdio: ['ignore', 'inherit', 'pipe'] });
      onTestFinished(() => void child.kill('SIGKILL'));
      let complaint = '';
      child.stderr.on('data', (chunk) => {
        complaint += chunk;
      });
      expect(await once(child, 'close')).toEqual([1, null]);
      expect(complaint).toMatch(message);
      expect(complaint.trim().split('\n')).toHaveLength(1);
    });
    await Promise.all(runs);
  });
});
