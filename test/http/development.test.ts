/** Development mode over HTTP: refused where it is off, and a real fake platform where it is on. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { createFakePlatform } from '../../simulators/platform/platform.ts';
import type { Actor } from '../../src/engine/fleet-operations.ts';
import { RoomlineError } from '../../src/errors.ts';
import type { DevelopmentDesk } from '../../src/http/development.ts';
import { FakePlatform } from '../../src/http/fake-platform.ts';
import { Backend, bearer, jsonOf, keyEntries, startServer } from './fixture.ts';

const PLATFORM = '/v1/development/platform';
const RESET = '/v1/development/reset';

interface Wishes {
  readonly platform?: FakePlatform | null;
  readonly reset?: () => Promise<void>;
  readonly tenants?: readonly string[];
}

/** A server in development mode on a database named `sandbox`. */
async function start({ platform = null, reset, tenants }: Wishes = {}) {
  const resets: Actor[] = [];
  const desk: DevelopmentDesk = {
    database: async () => 'sandbox',
    reset: async (by) => {
      await reset?.();
      resets.push(by);
    },
    platform,
  };
  const backend = new Backend();
  backend.dependencies.development = desk;
  const keys = keyEntries((entry) => ({ ...entry, ...(tenants === undefined ? {} : { tenants }) }));
  return { ...(await serve(backend, { keys })), resets };
}

async function serve(backend = new Backend(), change: Parameters<typeof startServer>[0] = {}) {
  const { call } = await startServer(change, backend);
  const ask = async (method: string, path: string, body?: unknown, scope: 'read' | 'operate' = 'operate') => {
    const json = body === undefined ? {} : { 'content-type': 'application/json' };
    const init = { method, headers: { ...bearer(scope), ...json } };
    const response = await call(path, body === undefined ? init : { ...init, body: JSON.stringify(body) });
    return { status: response.status, body: await jsonOf(response) };
  };
  return { ask, backend };
}

/** The fake platform with two channels, one of them with a way of its own to lose acks. */
async function startPlatform() {
  const platform = createFakePlatform({
    seed: 1,
    settings: [
      { channels: { one: { token: 'a' }, two: { token: 'b', message: { status: { loseAllProbability: 0.25 } } } } },
    ],
  });
  await platform.start();
  onTestFinished(() => platform.stop());
  return { platform, client: new FakePlatform(platform.controlUrl) };
}

describe('outside development mode', () => {
  it.each([
    ['POST', RESET, { database: 'sandbox' }],
    ['GET', PLATFORM, undefined],
    ['PATCH', PLATFORM, {}],
  ])('%s %s is refused', async (method, path, body) => {
    const { ask } = await serve();
    expect(await ask(method, path, body)).toMatchObject({ status: 403, body: { code: 'development_disabled' } });
  });

  it('is told by GET /v1/development', async () => {
    const { ask } = await serve();
    const answer = await ask('GET', '/v1/development', undefined, 'read');
    expect(answer).toEqual({ status: 200, body: { enabled: false, database: null, platform: false } });
  });
});

describe('POST /v1/development/reset', () => {
  it('is done for whoever names the database, and logged', async () => {
    const { ask, resets, backend } = await start();
    expect(await ask('POST', RESET, { database: 'sandbox' })).toEqual({ status: 200, body: { database: 'sandbox' } });
    expect(resets).toEqual([{ actor: 'operate', requestId: expect.any(String) }]);
    const acted = backend.logged.filter(({ event }) => event === 'operator.acted');
    expect(acted.map(({ fields }) => fields)).toEqual([
      { key: 'operate', method: 'POST', route: RESET, requestId: resets[0]?.requestId },
    ]);
  });

  it.each([
    [{ database: 'production' }, 409, 'reset_unconfirmed'],
    [{ database: 7 }, 400, 'field_type'],
    [{ database: '' }, 400, 'field_invalid'],
    [{}, 400, 'field_missing'],
    [{ database: 'sandbox', force: true }, 400, 'field_unknown'],
    [['sandbox'], 400, 'field_type'],
  ])('%j is refused, and nothing is deleted', async (body, status, code) => {
    const { ask, resets } = await start();
    expect(await ask('POST', RESET, body)).toMatchObject({ status, body: { code } });
    expect(resets).toEqual([]);
  });

  it('asks for the scope operate, of a key that is not bound to tenants', async () => {
    const { ask, resets } = await start();
    const answer = await ask('POST', RESET, { database: 'sandbox' }, 'read');
    expect(answer).toMatchObject({ status: 403, body: { code: 'forbidden_scope' } });
    const bound = await start({ tenants: ['default'] });
    expect((await bound.ask('POST', RESET, { database: 'sandbox' })).status).toBe(404);
    expect([...resets, ...bound.resets]).toEqual([]);
  });

  it('tells why it could not be done', async () => {
    const refused = await start({ reset: () => Promise.reject(new RoomlineError('reset_not_permitted')) });
    const answer = await refused.ask('POST', RESET, { database: 'sandbox' });
    expect(answer).toMatchObject({ status: 403, body: { code: 'reset_not_permitted' } });
    const away = await start({ reset: () => Promise.reject(new Error('connection refused')) });
    expect(await away.ask('POST', RESET, { database: 'sandbox' })).toMatchObject({
      status: 503,
      body: { code: 'not_ready' },
    });
  });
});

describe('the fake platform', () => {
  it('is shown with its knobs, by channel', async () => {
    const { client } = await startPlatform();
    const { ask } = await start({ platform: client });
    expect((await ask('GET', '/v1/development', undefined, 'read')).body).toMatchObject({ platform: true });
    const { status, body } = await ask('GET', PLATFORM);
    expect(status).toBe(200);
    const knobs = {
      responseDelay: { medianMs: 150, p99Ms: 1_500 },
      phoneDelay: { medianMs: 600, p99Ms: 4_000 },
      ackLoss: 0,
      refusals: 0,
      serverErrors: 0,
      lostAnswers: 0,
      phonesOnline: true,
    };
    expect(body).toMatchObject({ knobs, outages: [], totals: { requests: 0 } });
    expect(body.channels).toContainEqual({ channel: 'one', knobs });
    expect(body.channels).toContainEqual({ channel: 'two', knobs: { ...knobs, ackLoss: 0.25 } });
  });

  it('is changed in all its channels, also where one has a way of its own', async () => {
    const { platform, client } = await startPlatform();
    const { ask } = await start({ platform: client });
    const changed = {
      responseDelay: { medianMs: 20, p99Ms: 20 },
      phoneDelay: { medianMs: 5, p99Ms: 50 },
      ackLoss: 0.5,
      refusals: 0.1,
      serverErrors: 0.2,
      lostAnswers: 0.3,
      phonesOnline: false,
    };
    const { status, body } = await ask('PATCH', PLATFORM, { knobs: changed });
    expect(status).toBe(200);
    for (const { knobs } of body.channels as { knobs: object }[]) expect(knobs).toEqual(changed);
    expect(body.knobs).toEqual(changed);
    expect(platform.control.settings.message.send.faults).toMatchObject({
      development_refusal: { kind: 'refuse', status: 429, probability: 0.1 },
      development_server_error: { kind: 'server_error', probability: 0.2 },
      development_lost_answer: { kind: 'reset', when: 'after_acceptance', probability: 0.3 },
    });
  });

  it('is changed in one channel alone, and what is not named stays', async () => {
    const { client } = await startPlatform();
    const { ask } = await start({ platform: client });
    const { body } = await ask('PATCH', PLATFORM, { channel: 'two', knobs: { refusals: 1 } });
    const knobsOf = (name: string) =>
      (body.channels as { channel: string; knobs: object }[]).find(({ channel }) => channel === name)?.knobs;
    expect(knobsOf('two')).toMatchObject({ refusals: 1, ackLoss: 0.25 });
    expect(knobsOf('one')).toMatchObject({ refusals: 0, ackLoss: 0 });
    expect(body.knobs).toMatchObject({ refusals: 0 });
  });

  it('has outages, until they are ended', async () => {
    const { client } = await startPlatform();
    const { ask } = await start({ platform: client });
    await ask('PATCH', PLATFORM, { channel: 'one', outage: { kind: 'server_error' } });
    const { body } = await ask('PATCH', PLATFORM, { outage: { kind: 'black_hole', forMs: 60_000 } });
    expect(body.outages).toEqual([
      { kind: 'server_error', channel: 'one' },
      { kind: 'black_hole', channel: null },
    ]);
    expect((await ask('PATCH', PLATFORM, { outage: null })).body).toMatchObject({ outages: [] });
  });

  it.each([
    [{ knobs: { ackLoss: 2 } }, 'field_invalid'],
    [{ knobs: { ackLoss: 'much' } }, 'field_type'],
    [{ knobs: { colour: 1 } }, 'field_unknown'],
    [{ knobs: { responseDelay: { medianMs: 10 } } }, 'field_missing'],
    // Only the platform knows that.
    [{ knobs: { responseDelay: { medianMs: 10, p99Ms: 5 } } }, 'field_invalid'],
    [{ knobs: {}, channel: 'nobody' }, 'field_invalid'],
    [{ channel: 'one', outage: { kind: 'refuse' } }, 'field_invalid'],
    [{ outage: { kind: 'flood' } }, 'field_invalid'],
  ])('refuses %j', async (patch, code) => {
    const { client } = await startPlatform();
    const { ask } = await start({ platform: client });
    const before = (await ask('GET', PLATFORM)).body;
    expect(await ask('PATCH', PLATFORM, patch)).toMatchObject({ status: 400, body: { code } });
    expect((await ask('GET', PLATFORM)).body).toEqual(before);
  });

  it('may be missing or away', async () => {
    const { ask } = await start();
    expect(await ask('GET', PLATFORM)).toMatchObject({ status: 404, body: { code: 'development_platform_missing' } });
    const gone = await start({ platform: new FakePlatform('http://127.0.0.1:1') });
    expect(await gone.ask('PATCH', PLATFORM, { outage: null })).toMatchObject({
      status: 503,
      body: { code: 'not_ready', retryable: true },
    });
  });
});
