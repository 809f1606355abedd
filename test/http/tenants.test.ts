/** Tenants kept apart: for a key that is bound to one, what is of another is not there, on every route. */
import { expect, it } from 'vitest';
import { CHANNEL } from '../support/engine.ts';
import { bearer, keyEntries } from './fixture.ts';
import { startWhole } from './whole.ts';

const SCOPES = ['publish', 'read', 'operate'] as const;

/** What is answered other than 404: lists that hold nothing, and refusals that name nothing. */
const EMPTY: Readonly<Record<string, object>> = {
  'POST /v1/messages': { code: 'channel_unknown', status: 422 },
  'POST /v1/messages:batch': { accepted: 0, results: [{ error: { code: 'channel_unknown' } }] },
  'GET /v1/key': { tenants: ['elsewhere'] },
  'GET /v1/channels': { channels: [] },
  'GET /v1/rooms': { rooms: [] },
  'GET /v1/pipeline': { channels: [] },
  'GET /v1/charts': { points: [] },
  'POST /v1/dead-letters:discard': { discarded: [], refused: [{ error: { code: 'dead_letter_not_found' } }] },
  'GET /v1/live/socket': { code: 'upgrade_required' },
  'GET /v1/ops/channels': { channels: [] },
  'GET /v1/ops/audit': { entries: [] },
};

async function start() {
  const bound = keyEntries((entry) => ({ ...entry, scopes: SCOPES, tenants: ['elsewhere'] }));
  const whole = await startWhole({ keys: bound });
  const { steered } = whole;
  await steered.process.publish('r-1', ['m-1']);
  await steered.fail('r-2', ['m-2']);
  const [letter] = (await steered.get('/v1/dead-letters')).body.letters;
  const id = await steered.id('r-1', 1);
  const pathOf = (path: string): string => {
    const ids: Record<string, string> = { tenant: 'default', channel: CHANNEL.channel, room: 'r-1', worker: 'a' };
    const ofId = path.includes('dead-letters') ? String(letter.id) : id;
    return path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => encodeURIComponent(ids[name] ?? ofId));
  };
  return { ...whole, pathOf, letter };
}

it('on every route, a key of another tenant finds nothing and changes nothing', async () => {
  const { call, steered, operations, pathOf, letter } = await start();
  const before = await steered.audited();
  const answers: Record<string, unknown> = {};
  for (const [key, { requestBody, 'x-scope': scope, parameters = [] }] of operations) {
    if (scope === undefined) continue;
    const [method = '', path = ''] = key.split(' ');
    const given: Record<string, string> = { dryRun: 'true', tenant: 'default', channel: CHANNEL.channel };
    const asked = parameters.filter(({ name, in: where }) => where === 'query' && name in given);
    const query = new URLSearchParams(Object.fromEntries(asked.map(({ name }) => [name, given[name] ?? ''])));
    const example = Object.values(requestBody?.content ?? {})[0]?.example;
    const ofChannel = JSON.stringify(example)
      ?.replaceAll('"support"', JSON.stringify(CHANNEL.channel))
      .replace(/"ids":\[[^\]]*\]/, `"ids":[${letter.id}]`);
    const response = await call(`${pathOf(path)}?${query}`, {
      method,
      headers: { ...bearer('read'), ...(ofChannel === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(ofChannel === undefined ? {} : { body: ofChannel }),
    });
    if (response.headers.get('content-type')?.startsWith('text/event-stream') === true) {
      // A feed has no end; that nothing of others is in it is shown in live.test.ts.
      await response.body?.cancel();
      continue;
    }
    const text = await response.text();
    const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
    const name = key.replaceAll(/\{(\w+)\}/g, ':$1');
    expect(text, key).not.toContain('m-1');
    if (EMPTY[name] === undefined) answers[name] = [response.status, body.code];
    else expect(body, key).toMatchObject(EMPTY[name]);
  }
  const found = Object.entries(answers).filter(([, answer]) => !/^404,(.*_)?not_found$/.test(String(answer)));
  expect(Object.fromEntries(found)).toEqual({});
  expect(await steered.audited()).toEqual(before);
  expect((await steered.bed.row('r-1')).tail).toBe(1);
});

it('what is of its own tenants is there, and a key that is bound to none has all', async () => {
  const own = keyEntries((entry) => (entry.name === 'read' ? { ...entry, tenants: ['default', 'x'] } : entry));
  const { call, steered } = await startWhole({ keys: own });
  await steered.process.publish('r-1', ['m-1']);
  const status = async (path: string, scope: (typeof SCOPES)[number]) =>
    (await call(path, { headers: bearer(scope) })).status;
  const room = `/v1/rooms/${CHANNEL.channel}/r-1`;
  expect(await status(room, 'read')).toBe(200);
  expect(await status(`${room}?tenant=y`, 'read')).toBe(404);
  expect(await status(`/v1/messages/${await steered.id('r-1', 1)}`, 'read')).toBe(200);
  expect(await status('/v1/ops/workers', 'operate')).toBe(200);
  expect(await status('/metrics', 'operate')).toBe(200);
});

it('dead letters and failures of no named channel are those of all tenants that there are for the key', async () => {
  const tenantsOf = { publish: undefined, read: ['elsewhere'], operate: ['default'] } as const;
  const keys = keyEntries(({ name, ...entry }) => {
    const tenants = tenantsOf[name as keyof typeof tenantsOf];
    return { ...entry, name, scopes: SCOPES, ...(tenants === undefined ? {} : { tenants }) };
  });
  const { call, steered } = await startWhole({ keys });
  await steered.fail('r-1', ['m-1', 'm-2']);
  const refused = { reason: 'body_not_json', detail: 'd', payload: Uint8Array.of(1), attributes: {} };
  await steered.bed.stores.deadLetters.putIntake([{ ...refused, dedupeKey: 'p', at: steered.bed.time.now }]);
  await steered.bed.time.advance(2_000);
  const kinds = async (path: string, as: (typeof SCOPES)[number]) => {
    const response = await call(path, { headers: bearer(as) });
    const { letters, failures } = (await response.json()) as Record<string, { kind: string; count?: number }[]>;
    return (letters ?? failures ?? []).map(({ kind }) => kind);
  };
  expect(await kinds('/v1/dead-letters', 'publish')).toEqual(['intake', 'message', 'message']);
  expect(await kinds('/v1/dead-letters?tenant=default', 'publish')).toEqual(['message', 'message']);
  expect(await kinds('/v1/dead-letters', 'operate')).toEqual(['message', 'message']);
  expect(await kinds('/v1/dead-letters?tenant=elsewhere', 'operate')).toEqual([]);
  expect(await kinds('/v1/dead-letters', 'read')).toEqual([]);
  expect(await kinds('/v1/failures', 'publish')).toEqual(['refused']);
  expect(await kinds('/v1/failures', 'operate')).toEqual(['refused']);
  expect(await kinds('/v1/failures', 'read')).toEqual([]);
  const replayable = async (as: (typeof SCOPES)[number]) => {
    const response = await call('/v1/dead-letters:replay', {
      method: 'POST',
      headers: { ...bearer(as), 'content-type': 'application/json' },
      body: JSON.stringify({ filter: {}, dryRun: true }),
    });
    return ((await response.json()) as { letters: unknown[] }).letters.length;
  };
  expect([await replayable('publish'), await replayable('operate'), await replayable('read')]).toEqual([3, 2, 0]);
});
