/**
 * A primary dies, and its asynchronous standby is promoted without the latest commits: the real service, first while it
 * runs and then started anew, holds everything until an operator has decided, and goes on afterwards.
 */

import { createHmac } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PostgresServer, startPostgres } from '../../simulators/postgres/embedded.ts';
import { Child } from '../../simulators/rig/child.ts';
import { readMetrics } from '../../simulators/rig/metrics.ts';
import { migrate } from '../../src/adapters/postgres/migrate.ts';
import { openDatabaseTool } from '../../src/cli/database-tool.ts';
import { runCommand } from '../../src/cli/program.ts';
import { createKey, hashKey } from '../../src/http/keys.ts';
import { session } from '../adapters/postgres/database.ts';
import { type Gateway, startGateway } from '../platforms/gateway.ts';
import { eventually } from '../support/events.ts';
import { type Forwarder, startForwarder } from '../support/forwarder.ts';
import { caughtUp, promote, startStandby } from '../support/standby.ts';

const COMMAND = fileURLToPath(new URL('../../src/cli/roomline.mjs', import.meta.url));
const WEBHOOK_SECRET = 'a-secret-of-the-webhook-that-is-long-enough';
const DEADLINE = { deadlineMs: 30_000, everyMs: 20 };
const { key: API_KEY } = createKey();

let directory: string;
let configFile: string;
let primary: PostgresServer;
let standby: PostgresServer;
let forwarder: Forwarder;
let gateway: Gateway;
let engine: Child;
let url: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'roomline-history-'));
  chmodSync(directory, 0o755);
  for (const folder of ['logs', 'processes']) mkdirSync(join(directory, folder));
  primary = await startPostgres({ directory: join(directory, 'primary') });
  await migrate(primary.url(), { shards: 16 });
  standby = await startStandby(primary, { directory: join(directory, 'standby'), binaries: 'embedded' });
  forwarder = await startForwarder(primary.port);
  let accepted = 0;
  gateway = await startGateway((response) => {
    response.end(JSON.stringify({ id: `gw-${++accepted}` }));
  });
  configFile = join(directory, 'roomline.json');
  writeFileSync(configFile, JSON.stringify(configuration()), { mode: 0o600 });
  await start();
  await untilReady();
});

afterAll(async () => {
  await engine?.kill9();
  await forwarder?.close();
  await gateway?.close();
  await primary?.stop();
  await standby?.stop();
  rmSync(directory, { recursive: true, force: true });
});

function configuration(): object {
  const { user, password } = primary;
  return {
    http: { host: '127.0.0.1', port: 0 },
    auth: { keys: [{ name: 'test', hash: hashKey(API_KEY), scopes: ['publish', 'read', 'operate'] }] },
    postgres: { url: `postgres://${user}:${password}@127.0.0.1:${forwarder.port}/postgres`, shards: 16 },
    reference: { secret: 'a-secret-of-this-test-that-is-long-enough' },
    ownership: { leaseMs: 2_000, renewEveryMs: 200, sweepEveryMs: 500, stallLimitMs: 600_000 },
    channelDefaults: { ackTimeoutMs: 60_000, sendTimeoutMs: 1_000 },
    channels: {
      main: {
        account: 'main',
        platform: 'generic',
        baseUrl: gateway.baseUrl,
        accessToken: 'a-token-of-this-test',
        webhookSecrets: [WEBHOOK_SECRET],
      },
    },
  };
}

async function start(): Promise<void> {
  [engine, url] = await Child.start<string>({
    name: 'engine',
    directory,
    command: [COMMAND, 'serve', '--config', configFile],
    ready: (line) => {
      if (!line.includes('"http.listening"')) return null;
      const { host, port } = JSON.parse(line) as { host: string; port: number };
      return `http://${host}:${port}`;
    },
  });
}

// biome-ignore lint/suspicious/noExplicitAny: whatever the service answered, for assertions
type Answer = { readonly status: number; readonly body: any };

async function call(method: string, path: string, body?: object): Promise<Answer> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

async function untilReady(): Promise<void> {
  await eventually('the service is ready', async () => (await call('GET', '/readyz')).status === 200, DEADLINE);
}

/** The line of readiness about the database's past, once it is what it was meant to be. */
function untilHeld(): Promise<Answer> {
  return eventually(
    'the service has seen the other timeline',
    async () => {
      const answer = await call('GET', '/readyz');
      return answer.body.dependencies.some(({ name, ok }: { name: string; ok: boolean }) => name === 'database' && !ok)
        ? answer
        : null;
    },
    DEADLINE,
  );
}

function publish(room: string, text: string): Promise<Answer> {
  return call('POST', '/v1/messages', { channel: 'main', room, messageId: `${room}-${text}`, content: { text } });
}

interface Sent {
  readonly room: string;
  readonly text: string;
  readonly reference: string;
  readonly attempt: number;
}

function sent(): Sent[] {
  return gateway.received.map(({ body, headers }) => {
    const { to, content, reference } = JSON.parse(body.toString()) as {
      to: string;
      content: { text: string };
      reference: string;
    };
    return { room: to, text: content.text, reference, attempt: Number(headers['roomline-attempt']) };
  });
}

const texts = (room: string): string[] =>
  sent()
    .filter((one) => one.room === room)
    .map(({ text }) => text);

function untilSent(room: string, ...expected: readonly string[]): Promise<unknown> {
  return eventually(`${room} has sent ${expected}`, () => texts(room).join() === expected.join(), DEADLINE);
}

/** The platform's webhook for the latest copy of a message. */
async function ack(room: string, text: string): Promise<number> {
  const copy = sent().findLast((one) => one.room === room && one.text === text);
  const body = JSON.stringify({ statuses: [{ reference: copy?.reference, status: 'delivered' }] });
  const timestamp = String(Math.floor(Date.now() / 1_000));
  const signature = createHmac('sha256', WEBHOOK_SECRET).update(`id-1.${timestamp}.${body}`).digest('base64');
  const response = await fetch(`${url}/v1/webhooks/default/main`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'webhook-id': 'id-1',
      'webhook-timestamp': timestamp,
      'webhook-signature': `v1,${signature}`,
    },
    body,
  });
  return response.status;
}

async function why(room: string): Promise<string> {
  return (await call('GET', `/v1/rooms/main/${room}`)).body.explanation;
}

async function outcomes(room: string): Promise<string[]> {
  const { body } = await call('GET', `/v1/rooms/main/${room}/messages`);
  return body.messages.map(({ outcome }: { outcome: string }) => outcome).reverse();
}

/** The `roomline` command. */
async function roomline(...args: readonly string[]) {
  let out = '';
  let error = '';
  const status = await runCommand([...args, '--config', configFile], {
    version: '9.9.9',
    env: { USER: 'operator-1' },
    print: (text) => {
      out += text;
    },
    printError: (text) => {
      error += text;
    },
    fetch,
    serve: () => Promise.reject(new Error('nothing is served')),
    migrate: () => Promise.reject(new Error('nothing is migrated')),
    openDatabase: openDatabaseTool,
  });
  return { status, error, out: out === '' ? null : JSON.parse(out) };
}

const logged = (event: string): Record<string, unknown>[] =>
  readFileSync(join(directory, 'logs', 'engine.log'), 'utf8')
    .split('\n')
    .filter((line) => line.includes(`"${event}"`))
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('a promoted standby', () => {
  it('is recognised, adopted by an operator, and gone on with', { timeout: 120_000 }, async () => {
    await expectRecognisedWhileRunning();
    await expectRecognisedAtTheStart();
    await expectAdopted();
    await expectGoingOnWhenReleased();
  });
});

/** While the service runs: nothing is sent or taken, acks are recorded. */
async function expectRecognisedWhileRunning(): Promise<void> {
  // What both servers know: one message of `a` settled and one in flight, one of `b` in flight.
  await publish('a', '1');
  await publish('a', '2');
  await publish('b', '1');
  await publish('b', '2');
  await untilSent('a', '1');
  expect(await ack('a', '1')).toBe(200);
  await untilSent('a', '1', '2');
  await untilSent('b', '1');
  await eventually(
    'answers are stored',
    async () => (await why('a')).includes('accepted') && (await why('b')).includes('accepted'),
    DEADLINE,
  );
  await caughtUp(primary, standby);
  await standby.stop();
  // What the primary takes with it: `b` went on, `c` came to be.
  expect(await ack('b', '1')).toBe(200);
  await untilSent('b', '1', '2');
  await publish('c', '1');
  await untilSent('c', '1');
  await primary.kill9();
  standby = await startAgain();

  // A standby is nothing to work on.
  forwarder.move(standby.port);
  await eventually(
    'the standby is refused',
    async () => {
      const { body } = await call('GET', '/readyz');
      const postgres = body.dependencies.find(({ name }: { name: string }) => name === 'postgres');
      return postgres.ok === false && postgres.detail === 'The database server is a standby that has not been promoted';
    },
    DEADLINE,
  );
  const copies = sent().length;
  await promote(standby);

  const { status, body } = await untilHeld();
  expect(status).toBe(503);
  expect(body.dependencies).toContainEqual({
    name: 'database',
    ok: false,
    detail: 'another timeline (2, was 1): rooms are held until an operator decides: roomline database status',
  });
  expect(logged('database.another_history')).toMatchObject([{ level: 'error', reason: 'timeline' }]);
  expect((await readMetrics(`${url}/metrics`, API_KEY)).sum('roomline_database_another_history')).toBe(1);
  expect(await publish('d', '1')).toMatchObject({ status: 503, body: { code: 'another_history', retryable: true } });
  expect(await ack('a', '2')).toBe(200);
  expect(await outcomes('a')).toEqual(['acked', 'acked']);
  expect(sent()).toHaveLength(copies);
}

async function expectRecognisedAtTheStart(): Promise<void> {
  const copies = sent().length;
  await engine.kill9();
  await start();
  await untilHeld();
  await eventually('it has said so again', () => logged('database.another_history').length === 2, DEADLINE);
  expect(await why('b')).toMatch(/^message 1 was accepted and waits up to .* for its ack \(1 more wait behind it\)$/);
  expect(sent()).toHaveLength(copies);
}

/** Rooms with something open stay held, the others go on. */
async function expectAdopted(): Promise<void> {
  const status = await roomline('database', 'status');
  expect(status.out).toMatchObject({
    history: 'another timeline (2, was 1): rooms are held until an operator decides: roomline database status',
    stored: { timeline: 1 },
    seen: { timeline: 2, systemIdentifier: status.out.stored.systemIdentifier },
    rooms: { open: 1, messages: 2, byPhase: [{ phase: 'awaiting_ack', reason: null, rooms: 1, messages: 2 }] },
    decisions: [],
  });
  const dry = await roomline('database', 'adopt', '--rooms', 'hold', '--reason', 'zone a is gone');
  expect(dry).toMatchObject({
    status: 0,
    error: expect.stringContaining('Nothing was changed'),
    out: { roomsWouldBe: 'hold' },
  });
  expect((await call('GET', '/readyz')).status).toBe(503);

  const done = await roomline('database', 'adopt', '--rooms', 'hold', '--reason', 'zone a is gone', '--yes');
  expect(done).toMatchObject({ status: 0, out: { adopted: { timeline: 2 }, roomsOpen: 1, roomsHeld: 1 } });
  await untilReady();
  expect(await why('b')).toContain('held (history_changed');
  expect(texts('b')).toEqual(['1', '2']);
  expect((await publish('d', '1')).status).toBe(202);
  await untilSent('d', '1');
  await publish('b', '3');

  const twice = await roomline('database', 'adopt', '--rooms', 'hold', '--reason', 'again', '--yes');
  expect(twice).toMatchObject({ status: 1, error: expect.stringContaining('the known ones') });
}

/** In order, and with the same references. */
async function expectGoingOnWhenReleased(): Promise<void> {
  const dry = await roomline('database', 'release', '--as', 'retry', '--reason', 'told the customers');
  expect(dry.out).toEqual({ roomsHeld: 1, wouldBe: 'retry' });
  const released = await roomline('database', 'release', '--as', 'retry', '--reason', 'told the customers', '--yes');
  expect(released.out).toEqual({ roomsReleased: 1, as: 'retry' });
  await untilSent('b', '1', '2', '1');
  await ack('b', '1');
  await untilSent('b', '1', '2', '1', '2');
  await ack('b', '2');
  await untilSent('b', '1', '2', '1', '2', '3');
  const copies = sent().filter(({ room, text }) => room === 'b' && text === '1');
  expect(new Set(copies.map(({ reference }) => reference)).size).toBe(1);
  expect(copies.map(({ attempt }) => attempt)).toEqual([1, 2]);
  const metrics = await readMetrics(`${url}/metrics`, API_KEY);
  expect(metrics.sum('roomline_possible_duplicates_total')).toBe(1);

  const { out } = await roomline('database', 'status');
  expect(out.history).toBe('the known one');
  expect(out.decisions).toMatchObject([
    { decision: 'retry', decidedBy: 'operator-1', reason: 'told the customers', roomsChanged: 1 },
    {
      decision: 'hold',
      decidedBy: 'operator-1',
      reason: 'zone a is gone',
      before: { timeline: 1 },
      after: { timeline: 2 },
      roomsOpen: 1,
      roomsChanged: 1,
    },
  ]);
  const rows = await session(standby.url(), (client) => client.query('SELECT database_role FROM database_decisions'));
  expect(rows.rows).toEqual([{ database_role: 'roomline' }, { database_role: 'roomline' }]);
}

/** The standby on its data, once its primary is gone. */
async function startAgain(): Promise<PostgresServer> {
  return startPostgres({ directory: join(directory, 'standby') });
}
