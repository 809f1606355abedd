/** Channels over HTTP as an operator configures them: what is taken, what is refused and how, and what is remembered. */
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { OutcomeUnknownError } from '../../src/engine/ports.ts';
import type { HttpServerOptions } from '../../src/http/server.ts';
import { ENVIRONMENT, FILE_TOKEN, Fleet, OPERATOR, settingsOf } from '../support/channel-admin.ts';
import { Backend, bearer, keyEntries, makeServer } from './fixture.ts';

const SALES = '/v1/ops/channels/default/sales';
const IN_FILE = '/v1/ops/channels/default/support';

interface Answer {
  readonly status: number;
  readonly etag: string | null;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: whatever was answered, for assertions
  readonly body: any;
}

async function start(options: Partial<HttpServerOptions> = {}) {
  const fleet = new Fleet();
  const member = await fleet.start();
  const backend = new Backend();
  backend.dependencies.channelAdmin = member.registry;
  const { server } = makeServer(options, backend);
  await server.service.start();
  onTestFinished(() => server.service.stop());
  async function call(method: string, path: string, body?: unknown, headers: object = {}): Promise<Answer> {
    const json = body === undefined ? {} : { 'content-type': 'application/json' };
    const response = await fetch(`${server.url}${path}`, {
      method,
      headers: { ...bearer('operate'), ...json, ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, etag: response.headers.get('etag'), text, body: JSON.parse(text) };
  }
  const put = (wishes: Readonly<Record<string, unknown>> = {}, headers: object = {}) =>
    call('PUT', SALES, settingsOf(wishes), headers);
  const audit = async () => (await call('GET', '/v1/ops/audit')).body.entries;
  const stored = async () => (await fleet.stores.settings.load()).channels;
  return { ...member, fleet, backend, call, put, audit, stored };
}

/** `path code` of every fault. */
const faultsOf = ({ body }: Answer): string[] =>
  body.faults.map(({ path, code }: { path: string; code: string }) => `${path} ${code}`).toSorted();

describe('PUT', () => {
  it('makes a channel, shows it with references in place of secrets, and says what it is by its revision', async () => {
    const { call, put, process } = await start();
    const made = await put({ ackTimeoutMs: 1_500 });
    expect(made).toMatchObject({ status: 201, etag: '"1"' });
    expect(made.body).toMatchObject({
      tenant: 'default',
      channel: 'sales',
      source: 'api',
      platform: 'generic',
      account: 'acme',
      state: 'open',
      revision: 1,
      updatedBy: 'operate',
      settings: { ...settingsOf(), ackTimeoutMs: 1_500 },
      effective: {
        ackTimeoutMs: 1_500,
        unlockedBy: 'delivered',
        accessToken: { env: 'CHANNEL_SECRET_TOKEN' },
        webhookSecrets: [{ env: 'CHANNEL_SECRET_HOOK' }],
      },
      faults: [],
      warnings: [],
    });
    expect(process.engine.channels.get({ tenant: 'default', channel: 'sales' })).not.toBeNull();
    const shown = await call('GET', SALES);
    expect(shown).toMatchObject({ status: 200, etag: '"1"', body: made.body });
    const list = await call('GET', '/v1/ops/channels');
    expect(list.body.channels).toMatchObject([
      { channel: 'sales', source: 'api', revision: 1 },
      { channel: 'support', source: 'file', revision: null, settings: null, effective: { accessToken: '[secret]' } },
    ]);
    for (const secret of [FILE_TOKEN, ...Object.values(ENVIRONMENT)]) expect(list.text).not.toContain(secret);
  });

  it('changes it, lays platform defaults under it, and is repeated without a change', async () => {
    const { put, audit } = await start();
    await put();
    const changed = await put({ probe: { maxMs: 5_000 } });
    expect(changed).toMatchObject({
      status: 200,
      etag: '"2"',
      body: { effective: { probe: { initialMs: 1_000, maxMs: 5_000 } } },
    });
    // Whoever lost the answer repeats the request as it was.
    const again = await put({ probe: { maxMs: 5_000 } }, { 'if-match': '"1"' });
    expect(again).toMatchObject({ status: 200, etag: '"2"' });
    expect(await audit()).toHaveLength(2);
  });

  it('names each fault at once, by path and code, and stores nothing', async () => {
    const { call, put, stored } = await start();
    const refused = await put({
      tenant: 'other',
      platform: 'pigeon',
      baseUrl: 'ftp://files.example',
      accessToken: { env: 'CHANNEL_SECRET_ABSENT' },
      webhookSecrets: [
        { env: 'CHANNEL_SECRET_SHORT' },
        { env: 'PATH' },
        'a-literal-secret-of-the-body',
        { vault: 'x' },
      ],
      ackTimeoutMs: 'soon',
      minGapMs: -1,
      maxConcurentSends: 3,
      backoff: { initialMs: 500, maxMs: 100, jitter: 2 },
      probe: { initialMs: 5_000, maxMs: 100 },
      sendTimeoutMs: 9_000,
    });
    expect(refused).toMatchObject({ status: 422, body: { code: 'channel_settings_invalid' } });
    expect(faultsOf(refused)).toEqual([
      'accessToken secret_unresolved',
      'ackTimeoutMs wrong_type',
      'backoff.jitter out_of_range',
      'baseUrl rule_broken',
      'maxConcurentSends unknown_setting',
      'minGapMs out_of_range',
      'platform not_allowed_value',
      'probe.maxMs rule_broken',
      'sendTimeoutMs rule_broken',
      'tenant path_mismatch',
      'webhookSecrets.0 secret_too_short',
      'webhookSecrets.1 secret_not_allowed',
      'webhookSecrets.2 secret_literal',
      'webhookSecrets.3 secret_form',
    ]);
    for (const fault of refused.body.faults) expect(fault).toMatchObject({ rule: /./, action: /./ });
    const empty = await call('PUT', SALES, {});
    expect(faultsOf(empty)).toEqual(
      ['accessToken', 'account', 'baseUrl', 'platform', 'webhookSecrets'].map((path) => `${path} required`),
    );
    expect(await stored()).toEqual([]);
  });

  it('checks what only the platform asks for, and what only the adapter can tell', async () => {
    const { call, put } = await start();
    expect(faultsOf(await put({ platform: 'whatsapp' }))).toEqual(['whatsapp.phoneNumberId required']);
    expect(faultsOf(await put({ platform: 'telegram', unlockedBy: 'seen', roomLimit: { everyMs: -1 } }))).toEqual([
      'roomLimit.everyMs out_of_range',
      'unlockedBy not_allowed_value',
    ]);
    expect(faultsOf(await put({ accessToken: { env: 'CHANNEL_SECRET_SPACED' } }))).toEqual(['accessToken rule_broken']);
    const whatsapp = { phoneNumberId: 'abc', verifyToken: 'literal-token' };
    expect(faultsOf(await put({ platform: 'whatsapp', whatsapp }))).toEqual([
      'whatsapp.phoneNumberId pattern_mismatch',
      'whatsapp.verifyToken secret_literal',
    ]);
    const made = await call('PUT', '/v1/ops/channels/acme/number-1', {
      ...settingsOf({ platform: 'whatsapp', whatsapp: { phoneNumberId: '12345' } }),
      baseUrl: undefined,
    });
    expect(made.body).toMatchObject({
      tenant: 'acme',
      effective: { baseUrl: 'https://graph.facebook.com', whatsapp: { apiVersion: 'v25.0' }, probe: { maxMs: 60_000 } },
    });
  });

  it('does not turn a channel into one of another platform, whose messages wait in it', async () => {
    const { put } = await start();
    await put();
    expect(faultsOf(await put({ platform: 'telegram' }))).toContain('platform not_changeable');
  });

  it('takes several numbers of one account, and warns while they do not agree on its limit', async () => {
    const { call, put } = await start();
    const limit = { accountLimit: { perSecond: 5, burst: 5 }, account: 'numbers' };
    expect((await put(limit)).body.warnings).toEqual([]);
    const other = await call('PUT', '/v1/ops/channels/default/second', settingsOf({ account: 'numbers' }));
    expect(other).toMatchObject({
      status: 201,
      body: { warnings: [{ path: 'accountLimit', code: 'account_limit_differs' }] },
    });
    // What a file says of the account cannot be said otherwise.
    expect(
      faultsOf(await call('PUT', '/v1/ops/channels/default/third', settingsOf({ ...limit, account: 'acme' }))),
    ).toEqual(['accountLimit rule_broken']);
  });

  it.each([
    ['no JSON', '{"account":', 'body_malformed_json'],
    ['no object', '[1]', 'field_type'],
    ['what cannot be stored', JSON.stringify(settingsOf({ baseUrl: 'https://a.example/\0' })), 'text_nul_or_surrogate'],
    ['nested without end', `${'{"a":'.repeat(50)}1${'}'.repeat(50)}`, 'body_too_deep'],
    ['too large', JSON.stringify({ account: 'x'.repeat(70_000) }), 'body_too_large'],
  ])('refuses %s', async (_what, body, code) => {
    const { call } = await start();
    expect((await call('PUT', SALES, body)).body.code).toBe(code);
  });

  it.each(['/v1/ops/channels/default/sa%20les', `/v1/ops/channels/default/${'x'.repeat(65)}`])(
    'refuses the name in %s',
    async (path) => {
      const { call } = await start();
      expect((await call('PUT', path, settingsOf())).body).toMatchObject({ code: 'field_invalid', field: 'channel' });
    },
  );

  it('does not take ?dryRun for granted', async () => {
    const { call, stored } = await start();
    expect((await call('PUT', `${SALES}?dryRun=true`, settingsOf())).status).toBe(400);
    expect(await stored()).toEqual([]);
  });
});

describe('a secret', () => {
  it('that is sent itself is refused, and is in no answer, log, store or audit', async () => {
    const { call, put, process, backend, stored, audit } = await start();
    const canary = 'c4nary-of-a-secret';
    const answers = [
      await put({ accessToken: canary }),
      await put({ accessToken: { env: canary } }),
      await put({ accessToken: { file: canary } }),
      await put({ accessToken: { [canary]: 'x' }, webhookSecrets: canary }),
      await put({ baseUrl: `https://user:${canary}@gateway.example` }),
      await call('POST', `${SALES}?dryRun=true`, settingsOf({ webhookSecrets: [canary] })),
    ];
    for (const { status } of answers) expect(status).toBe(422);
    const said = answers.filter((_, index) => index !== 3).map(({ text }) => text);
    expect(
      [said, process.logged, backend.logged, await stored(), await audit()].map((one) => JSON.stringify(one)).join(),
    ).not.toContain(canary);
  });

  it('in a file counts below the allowed directory only, whatever leads there', async () => {
    const { put, fleet } = await start();
    const inside = fleet.file('allowed/mounted/token', 'token-in-a-file\n');
    const outside = fleet.file('elsewhere', 'none-of-your-business');
    const link = join(fleet.directory, 'allowed/link');
    symlinkSync(outside, link);
    const good = join(fleet.directory, 'allowed/good-link');
    symlinkSync(inside, good);
    mkdirSync(join(fleet.directory, 'allowed/folder'));
    const verdict = async (file: string) => {
      const answer = await put({ accessToken: { file } });
      return answer.status === 422 ? faultsOf(answer) : answer.status;
    };
    const notAllowed = ['accessToken secret_not_allowed'];
    expect(await verdict(outside)).toEqual(notAllowed);
    expect(await verdict('/etc/passwd')).toEqual(notAllowed);
    expect(await verdict(join(fleet.directory, 'allowed/../elsewhere'))).toEqual(notAllowed);
    expect(await verdict(`${fleet.directory}/allowed`)).toEqual(notAllowed);
    expect(await verdict(`${fleet.directory}/allowed-not`)).toEqual(notAllowed);
    expect(await verdict('allowed/mounted/token')).toEqual(notAllowed);
    expect(await verdict(link)).toEqual(notAllowed);
    expect(await verdict(join(fleet.directory, 'allowed/absent'))).toEqual(['accessToken secret_unresolved']);
    expect(await verdict(join(fleet.directory, 'allowed/folder'))).toEqual(['accessToken secret_unresolved']);
    expect(await verdict(fleet.file('allowed/large', 'x'.repeat(70_000)))).toEqual(['accessToken secret_unresolved']);
    expect(await verdict(fleet.file('allowed/empty', '\n'))).toEqual(['accessToken secret_too_short']);
    expect(await verdict(good)).toBe(201);
    expect(await verdict(inside)).toBe(200);
  });

  it("in a variable counts only where that is set aside for channels, and never where it is Roomline's own", async () => {
    const { put } = await start();
    for (const env of ['PATH', 'ROOMLINE_REFERENCE_SECRET', 'channel_secret_token', '__proto__', '']) {
      expect(faultsOf(await put({ accessToken: { env } }))).toEqual(['accessToken secret_not_allowed']);
    }
    expect(faultsOf(await put({ accessToken: { env: 'CHANNEL_SECRET_' } }))).toEqual(['accessToken secret_unresolved']);
  });
});

describe('conditions', () => {
  it('hold a change back that was decided on another revision', async () => {
    const { call, put } = await start();
    await put();
    await put({ ackTimeoutMs: 1_001 });
    const stale = await put({ ackTimeoutMs: 1_002 }, { 'if-match': '"1"' });
    expect(stale).toMatchObject({ status: 412, body: { code: 'revision_mismatch', detail: 'Its revision is 2' } });
    expect((await put({ ackTimeoutMs: 1_002 }, { 'if-match': '2' })).status).toBe(200);
    expect((await put({ ackTimeoutMs: 1_003 }, { 'if-match': '*' })).etag).toBe('"4"');
    expect((await put({}, { 'if-none-match': '*' })).status).toBe(412);
    expect((await call('DELETE', SALES, undefined, { 'if-match': '"2"' })).status).toBe(412);
    expect((await call('DELETE', SALES, undefined, { 'if-match': '"4"' })).status).toBe(200);
    expect((await put({}, { 'if-match': '*' })).status).toBe(412);
    expect((await put({}, { 'if-match': '"4"' })).status).toBe(412);
    // A channel of the same name is another one.
    expect((await put({}, { 'if-none-match': '*' })).etag).toBe('"6"');
  });

  it.each([
    ['if-match', '"a"'],
    ['if-match', '"1", "2"'],
    ['if-match', 'W/"1"'],
    ['if-none-match', '"1"'],
  ])('in %s that say %s are not guessed at', async (header, value) => {
    const { put } = await start();
    expect((await put({}, { [header]: value })).body).toMatchObject({ code: 'field_invalid', field: header });
  });
});

describe('POST with ?dryRun=true', () => {
  it('says what PUT would do, and changes nothing', async () => {
    const { call, put, stored, audit, made, process } = await start();
    const fresh = await call('POST', `${SALES}?dryRun=true`, settingsOf());
    expect(fresh).toMatchObject({ status: 200, body: { effect: 'create', revision: null } });
    expect(fresh.body.changes).toContainEqual({
      path: 'accessToken',
      before: null,
      after: { env: 'CHANNEL_SECRET_TOKEN' },
    });
    expect(await stored()).toEqual([]);
    expect(await audit()).toEqual([]);
    expect(process.engine.channels.all().map(({ name }) => name)).toEqual(['default/support']);

    await put();
    const settings = settingsOf({
      probe: { maxMs: 9_000 },
      webhookSecrets: [{ env: 'CHANNEL_SECRET_NEW_HOOK' }],
      ackTimeoutMs: 5_000,
    });
    const tried = await call('POST', `${SALES}?dryRun=true`, settings, { 'if-match': '1' });
    expect(tried.body).toMatchObject({
      effect: 'change',
      revision: 1,
      effective: { probe: { initialMs: 1_000, maxMs: 9_000 } },
      changes: [
        { path: 'probe.maxMs', before: 30_000, after: 9_000 },
        {
          path: 'webhookSecrets',
          before: [{ env: 'CHANNEL_SECRET_HOOK' }],
          after: [{ env: 'CHANNEL_SECRET_NEW_HOOK' }],
        },
      ],
    });
    expect(tried.body.changes).toHaveLength(2);
    expect((await call('POST', `${SALES}?dryRun=true`, settingsOf())).body).toMatchObject({
      effect: 'none',
      changes: [],
    });
    expect((await call('GET', SALES)).etag).toBe('"1"');
    expect(await audit()).toHaveLength(1);
    // What it tried is closed; the file's channel and the stored one are in use.
    expect(made.filter(({ closed }) => !closed)).toHaveLength(2);
  });

  it('refuses what PUT would refuse', async () => {
    const { call, put } = await start();
    await put();
    expect(faultsOf(await call('POST', `${SALES}?dryRun=true`, settingsOf({ minGapMs: -1 })))).toEqual([
      'minGapMs out_of_range',
    ]);
    expect((await call('POST', `${IN_FILE}?dryRun=true`, settingsOf())).body.code).toBe('channel_in_file');
    expect((await call('POST', `${SALES}?dryRun=true`, settingsOf(), { 'if-match': '7' })).status).toBe(412);
  });

  it.each(['', '?dryRun=false', '?dryRun=true&more=1'])('with "%s" instead is refused', async (query) => {
    const { call, stored } = await start();
    expect((await call('POST', `${SALES}${query}`, settingsOf())).status).toBe(400);
    expect(await stored()).toEqual([]);
  });
});

describe('a channel of a file', () => {
  it('is shown and cannot be changed', async () => {
    const { call } = await start();
    expect(await call('GET', IN_FILE)).toMatchObject({
      status: 200,
      etag: null,
      body: { source: 'file', revision: null },
    });
    for (const answer of [await call('PUT', IN_FILE, settingsOf()), await call('DELETE', `${IN_FILE}?force=true`)]) {
      expect(answer).toMatchObject({ status: 409, body: { code: 'channel_in_file' } });
    }
  });
});

describe('DELETE', () => {
  it('removes a channel that no room waits for; what is not there is not found', async () => {
    const { call, put, process } = await start();
    await put();
    expect(await call('DELETE', SALES)).toMatchObject({
      status: 200,
      body: { tenant: 'default', channel: 'sales', waitingRooms: 0 },
    });
    expect(process.engine.channels.get({ tenant: 'default', channel: 'sales' })).toBeNull();
    for (const method of ['GET', 'DELETE']) {
      expect(await call(method, SALES)).toMatchObject({ status: 404, body: { code: 'channel_not_found' } });
    }
  });

  it('is refused while rooms wait, unless that is meant', async () => {
    const { call, put, fleet, audit } = await start();
    await put();
    fleet.waitingRooms = 3;
    const refused = await call('DELETE', SALES);
    expect(refused).toMatchObject({
      status: 409,
      body: { code: 'channel_in_use', detail: expect.stringContaining('3 rooms') },
    });
    expect((await call('GET', SALES)).status).toBe(200);
    expect(await call('DELETE', `${SALES}?force=true`)).toMatchObject({ status: 200, body: { waitingRooms: 3 } });
    expect((await audit())[0]).toMatchObject({ action: 'channel.delete', detail: { force: true, waitingRooms: 3 } });
  });
});

describe('the audit', () => {
  it('says who changed what, when, from what and to what', async () => {
    const { call, put, audit, fleet, backend } = await start();
    await put({}, { 'x-request-id': 'request-7' });
    await put({ ackTimeoutMs: 9 });
    await put({ ackTimeoutMs: 9 });
    await put({ ackTimeoutMs: -9 });
    await call('DELETE', SALES);
    const subject = 'channel:default/sales';
    expect(await audit()).toEqual([
      expect.objectContaining({
        id: 3,
        action: 'channel.delete',
        detail: { before: settingsOf({ ackTimeoutMs: 9 }), after: null, force: false, waitingRooms: 0 },
      }),
      expect.objectContaining({
        id: 2,
        action: 'channel.put',
        detail: { before: settingsOf(), after: settingsOf({ ackTimeoutMs: 9 }) },
      }),
      {
        id: 1,
        at: fleet.bed.time.now,
        actor: 'operate',
        action: 'channel.put',
        subject,
        requestId: 'request-7',
        detail: { before: null, after: settingsOf() },
      },
    ]);
    const page = await call('GET', '/v1/ops/audit?limit=2');
    expect(page.body.before).toBe(2);
    expect((await call('GET', '/v1/ops/audit?limit=2&before=2')).body).toMatchObject({
      entries: [{ id: 1 }],
      before: null,
    });
    expect((await call('GET', `/v1/ops/audit?subject=${encodeURIComponent(subject)}`)).body.entries).toHaveLength(3);
    expect((await call('GET', '/v1/ops/audit?subject=channel:default/other')).body.entries).toEqual([]);
    const acted = backend.logged.filter(({ event }) => event === 'operator.acted');
    expect(acted.map(({ fields }) => fields.method)).toEqual(['PUT', 'PUT', 'DELETE']);
  });
});

describe('a key that is bound to tenants', () => {
  const BOUND = { keys: keyEntries((entry) => ({ ...entry, tenants: ['default'] })) };

  it('names no secret but those that channels of its tenant have by the API, and learns of no other', async () => {
    const { call, put, registry, stored } = await start(BOUND);
    for (const accessToken of [
      { env: 'CHANNEL_SECRET_TOKEN' },
      { env: 'CHANNEL_SECRET_THAT_IS_NOT_SET' },
      { file: '/etc/hostname' },
    ]) {
      const refused = ['accessToken secret_not_allowed', 'webhookSecrets.0 secret_not_allowed'];
      expect(faultsOf(await put({ accessToken }))).toEqual(refused);
      expect(faultsOf(await call('POST', `${SALES}?dryRun=true`, settingsOf({ accessToken })))).toEqual(refused);
    }
    expect(await stored()).toEqual([]);

    await registry.put({ tenant: 'default', channel: 'first' }, settingsOf(), { kind: 'none' }, OPERATOR);
    expect((await put()).status).toBe(201);
    expect((await put({ ackTimeoutMs: 4_000 })).status).toBe(200);
    expect(faultsOf(await put({ accessToken: { env: 'CHANNEL_SECRET_OTHER_TOKEN' } }))).toEqual([
      'accessToken secret_not_allowed',
    ]);
  });

  it('is helped by no channel of another tenant', async () => {
    const { put, registry } = await start(BOUND);
    await registry.put({ tenant: 'other', channel: 'sales' }, settingsOf(), { kind: 'none' }, OPERATOR);
    expect(faultsOf(await put())).toContain('accessToken secret_not_allowed');
  });
});

describe('while the store is away', () => {
  it.each([
    ['PUT', SALES],
    ['POST', `${SALES}?dryRun=true`],
    ['DELETE', SALES],
    ['GET', '/v1/ops/audit'],
  ])('%s %s says to come again', async (method, path) => {
    const { call, put, fleet } = await start();
    await put();
    const away = () => Promise.reject(new Error('away'));
    const { settings, audit } = fleet.stores;
    Object.assign(settings, { revision: away, load: away, put: away, remove: away, waitingRooms: away });
    Object.assign(audit, { list: away });
    const body = method === 'GET' || method === 'DELETE' ? undefined : settingsOf({ ackTimeoutMs: 1_234 });
    expect((await call(method, path, body)).body).toMatchObject({ status: 503, code: 'not_ready' });
  });

  it('says of a change whose answer is lost that it may have been made', async () => {
    const { put, fleet } = await start();
    fleet.stores.settings.put = () => Promise.reject(new OutcomeUnknownError('the connection broke'));
    expect((await put()).body).toMatchObject({ code: 'not_ready', detail: expect.stringMatching(/not known: repeat/) });
  });
});

describe('GET /v1/ops/audit', () => {
  it.each([
    ['%00', 'text_nul_or_surrogate'],
    ['x'.repeat(513), 'field_invalid'],
  ])('refuses the subject %s', async (subject, code) => {
    const { call } = await start();
    const answer = await call('GET', `/v1/ops/audit?subject=${subject}`);
    expect(answer.body).toMatchObject({ status: 400, code, field: 'subject' });
  });
});

describe('who is no operator', () => {
  it.each([
    ['GET', '/v1/ops/channels'],
    ['GET', SALES],
    ['PUT', SALES],
    ['POST', `${SALES}?dryRun=true`],
    ['DELETE', SALES],
    ['GET', '/v1/ops/audit'],
  ])('may not %s %s', async (method, path) => {
    const { call, stored } = await start();
    const body = method === 'GET' || method === 'DELETE' ? undefined : settingsOf();
    expect((await call(method, path, body, { authorization: '' })).status).toBe(401);
    for (const scope of ['read', 'publish'] as const) {
      expect((await call(method, path, body, bearer(scope))).body).toMatchObject({
        status: 403,
        code: 'forbidden_scope',
      });
    }
    expect(await stored()).toEqual([]);
  });
});
