import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { renderConfigurationMarkdown } from '../src/config/document.ts';
import { ENVIRONMENT_SETTINGS } from '../src/config/environment.ts';
import { type Config, ConfigError, loadConfig, parseConfig, Secret } from '../src/config.ts';
import { handOverLimitMs } from '../src/room/shard.ts';

const DEFAULTS = readFileSync(new URL('../config/default.json', import.meta.url), 'utf8');
const EXAMPLE = readFileSync(new URL('../config/example.json', import.meta.url), 'utf8');
const REFERENCE_SECRET = 'reference-secret-of-32-characters';

const channel = {
  account: 'account-1',
  platform: 'generic',
  baseUrl: 'http://127.0.0.1:9000',
  accessToken: 'platform-token',
  webhookSecrets: ['webhook-secret-1'],
};
const minimal = {
  postgres: { url: 'postgres://roomline:pw@127.0.0.1:5432/roomline' },
  reference: { secret: REFERENCE_SECRET },
  channels: { support: channel },
};

interface Given {
  readonly env?: Record<string, string>;
  readonly secretFiles?: Record<string, string>;
}

function parse(file: unknown, { env = {}, secretFiles = {} }: Given = {}): Config {
  return parseConfig({
    files: [
      { name: 'config/default.json', text: DEFAULTS },
      { name: 'own.json', text: typeof file === 'string' ? file : JSON.stringify(file) },
    ],
    env,
    readSecretFile: (path) => {
      const text = secretFiles[path];
      if (text === undefined) throw new Error(`no such file: ${path}`);
      return text;
    },
  });
}

function refusals(file: unknown, given?: Given): ConfigError {
  try {
    parse(file, given);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

function brief(error: ConfigError): string[] {
  return error.issues.map(({ path, rule, source }) => `${path} ${rule} [${source}]`);
}

describe('a valid configuration', () => {
  it('lays the file over the defaults, setting by setting', () => {
    const config = parse({ ...minimal, http: { port: 9090 } });
    expect(config.http.port).toBe(9090);
    expect(config.http.host).toBe('127.0.0.1');
  });

  it('fills channels from channelDefaults, and inner sections member by member', () => {
    const config = parse({
      ...minimal,
      channelDefaults: { minGapMs: 20 },
      channels: { support: { ...channel, ackTimeoutMs: 700, backoff: { maxMs: 900 } } },
    });
    expect(config.channels).toHaveLength(1);
    expect(config.channels[0]).toMatchObject({
      name: 'support',
      tenant: 'default',
      minGapMs: 20,
      ackTimeoutMs: 700,
      unlockedBy: 'delivered',
      backoff: { initialMs: 500, maxMs: 900, factor: 2, jitter: 0.2 },
    });
  });

  it('lets the environment win over files', () => {
    const env = {
      ROOMLINE_HTTP_PORT: '7070',
      ROOMLINE_CHANNEL_DEFAULTS_ACK_TIMEOUT_MS: '1234',
      ROOMLINE_CHANNEL_DEFAULTS_BACKOFF_JITTER: '0.5',
      ROOMLINE_NODE_NAME: 'node-7',
      ROOMLINE_POSTGRES_PREPARED_STATEMENTS: 'false',
      ROOMLINE_POSTGRES_URL: 'postgres://u:other@localhost/db',
    };
    const config = parse({ ...minimal, http: { port: 9090 } }, { env });
    expect(config.http.port).toBe(7070);
    expect(config.channels[0]?.ackTimeoutMs).toBe(1234);
    expect(config.channels[0]?.backoff.jitter).toBe(0.5);
    expect(config.node.name).toBe('node-7');
    expect(config.postgres.preparedStatements).toBe(false);
    expect(config.postgres.url.reveal()).toBe('postgres://u:other@localhost/db');
  });

  it('takes the channels as a whole from the environment', () => {
    const config = parse(
      { ...minimal, channels: {} },
      { env: { ROOMLINE_CHANNELS: JSON.stringify({ sms: channel }) } },
    );
    expect(config.channels.map((each) => each.name)).toEqual(['sms']);
  });

  it('reads secrets from variables and files, and drops the line break at the end of a file', () => {
    const config = parse(
      {
        ...minimal,
        reference: { secret: { file: '/run/secret' } },
        channels: { support: { ...channel, accessToken: { env: 'ROOMLINE_SUPPORT_TOKEN' } } },
      },
      { env: { ROOMLINE_SUPPORT_TOKEN: 'from-variable' }, secretFiles: { '/run/secret': `${REFERENCE_SECRET}\n` } },
    );
    expect(config.reference.secret.reveal()).toBe(REFERENCE_SECRET);
    expect(config.channels[0]?.accessToken.reveal()).toBe('from-variable');
  });

  it('is frozen all the way down', () => {
    const config = parse(minimal);
    const open: string[] = [];
    const visit = (value: unknown, path: string): void => {
      if (typeof value !== 'object' || value === null) return;
      if (!Object.isFrozen(value)) open.push(path);
      for (const [key, each] of Object.entries(value)) visit(each, `${path}.${key}`);
    };
    visit(config, 'config');
    expect(open).toEqual([]);
  });

  it('holds for the default file together with the example', () => {
    const config = parse(EXAMPLE, {
      env: {
        DATABASE_URL: 'postgres://roomline:pw@db.example/roomline?sslmode=verify-full',
        SUPPORT_ACCESS_TOKEN: 'token',
        SUPPORT_WEBHOOK_SECRET: 'a-webhook-secret',
      },
      secretFiles: { '/run/secrets/roomline-reference': REFERENCE_SECRET },
    });
    expect(config.channels[0]).toMatchObject({ name: 'support', lookup: true, ackTimeoutMs: 8000 });
    expect(config.pubsub.enabled).toBe(true);
  });
});

describe('a wrong configuration', () => {
  it('is refused with every error at once, each with its path, rule and source', () => {
    const error = refusals(
      {
        ...minimal,
        http: { port: 70_000, prot: 1 },
        batching: { maxRows: 'many' },
        log: { level: 'loud' },
        channels: { support: { ...channel, unlockedBy: 'seen', baseUrl: 'http://gateway.example' } },
      },
      { env: { ROOMLINE_MEMORY_BODY_CACHE_BYTES: 'lots', ROOMLINE_HTP_PORT: '1' } },
    );
    expect(error.code).toBe('config_invalid');
    expect(brief(error).sort()).toEqual([
      'ROOMLINE_HTP_PORT is not a known variable [null]',
      'batching.maxRows must be integer [own.json]',
      'channels.support.baseUrl must use https, or http on a loopback host [own.json]',
      'channels.support.unlockedBy must be one of accepted, sent, delivered, read [own.json]',
      'http.port must be <= 65535 [own.json]',
      'http.prot is not a known setting or an allowed name [own.json]',
      'log.level must be one of debug, info, warn, error [own.json]',
      'memory.bodyCacheBytes must be a decimal number [ROOMLINE_MEMORY_BODY_CACHE_BYTES]',
    ]);
    for (const issue of error.issues) expect(error.message).toContain(issue.path);
  });

  it('names what is missing and how to give it', () => {
    const error = refusals({ channels: { support: { platform: 'generic' } } });
    const missing = error.issues.map(({ path }) => path).sort();
    expect(missing).toEqual([
      'channels.support.accessToken',
      'channels.support.account',
      'channels.support.baseUrl',
      'channels.support.webhookSecrets',
      'postgres.url',
      'reference',
    ]);
    expect(error.issues.find(({ path }) => path === 'postgres.url')?.action).toContain('ROOMLINE_POSTGRES_URL');
  });

  it.each([
    ['not JSON', '{ "http": ', 'own.json must be valid JSON [null]'],
    ['not an object', '[]', 'own.json must be a JSON object [null]'],
  ])('refuses a file that is %s', (_what, text, expected) => {
    expect(brief(refusals(text))).toContain(expected);
  });

  it('reports a wrong default once, not for every channel', () => {
    const error = refusals({
      ...minimal,
      channelDefaults: { ackTimeoutMs: -1 },
      channels: { one: channel, two: channel },
    });
    expect(brief(error)).toEqual(['channelDefaults.ackTimeoutMs must be >= 1 [own.json]']);
  });

  it('reports what a channel says wrongly where a default of its platform is right', () => {
    const telegram = { ...channel, platform: 'telegram', unlockedBy: 'seen', roomLimit: { everyMs: -1 } };
    expect(brief(refusals({ ...minimal, channels: { bot: telegram } })).sort()).toEqual([
      'channels.bot.roomLimit.everyMs must be >= 0 [own.json]',
      'channels.bot.unlockedBy must be one of accepted, sent, delivered, read [own.json]',
    ]);
    const wrong = refusals({
      ...minimal,
      platformDefaults: { telegram: { ackTimeoutMs: -1 } },
      channels: { bot: { ...channel, platform: 'telegram' } },
    });
    expect(brief(wrong)).toEqual(['platformDefaults.telegram.ackTimeoutMs must be >= 1 [own.json]']);
  });

  it.each([
    [
      'a secret reference to nothing',
      { accessToken: { env: 'NOT_SET' } },
      'accessToken refers to the variable NOT_SET',
    ],
    ['an unreadable secret file', { accessToken: { file: '/none' } }, 'accessToken refers to the file /none'],
    ['an unknown form of secret', { accessToken: { vault: 'x' } }, 'accessToken must not have the member "vault"'],
    ['a secret that is a number', { accessToken: 7 }, 'accessToken must be a text'],
    ['an empty secret', { accessToken: '' }, 'accessToken must have at least 1 characters'],
    ['a short webhook secret', { webhookSecrets: ['short'] }, 'webhookSecrets.0 must have at least 16 characters'],
    ['no webhook secret', { webhookSecrets: [] }, 'webhookSecrets must NOT have fewer than 1 items'],
    ['a base URL that is none', { baseUrl: 'gateway' }, 'baseUrl must be an absolute URL'],
    ['a base URL with credentials', { baseUrl: 'https://u:p@gateway.example' }, 'baseUrl must hold no credentials'],
    ['a base URL of another scheme', { baseUrl: 'ftp://localhost/' }, 'baseUrl must use https'],
    ['a host that only looks like loopback', { baseUrl: 'http://127.0.0.1.example' }, 'baseUrl must use https'],
    ['a send timeout beyond the lease', { sendTimeoutMs: 7_501 }, 'sendTimeoutMs must be at most ownership.leaseMs'],
    ['back-off limits in the wrong order', { backoff: { initialMs: 2, maxMs: 1 } }, 'backoff.maxMs must be at least'],
    ['probe limits in the wrong order', { probe: { initialMs: 2, maxMs: 1 } }, 'probe.maxMs must be at least'],
    [
      'a floor above X, where X adapts',
      { ackTimeoutMs: 499, ackTimeout: { mode: 'adaptive' } },
      'ackTimeout.floorMs must be at most ackTimeoutMs = 499',
    ],
    ['a way to choose X that there is not', { ackTimeout: { mode: 'auto' } }, 'ackTimeout.mode must be'],
    ['a quantile of all', { ackTimeout: { quantile: 1 } }, 'ackTimeout.quantile must be <= 0.9999'],
    ['a factor that undercuts its quantile', { ackTimeout: { factor: 0.9 } }, 'ackTimeout.factor must be >= 1'],
    ['more acks than are ever remembered', { ackTimeout: { minAcks: 1_001 } }, 'ackTimeout.minAcks must be <= 1000'],
  ])('refuses %s', (_what, change, expected) => {
    const error = refusals({ ...minimal, channels: { support: { ...channel, ...change } } });
    expect(brief(error)).toEqual([expect.stringContaining(`channels.support.${expected}`)]);
  });

  it.each([
    ['a send timeout of exactly lease - renewal - 500 ms', { sendTimeoutMs: 7_500 }],
    ['a floor of exactly X', { ackTimeoutMs: 500, ackTimeout: { mode: 'adaptive' } }],
    ['a floor above X that is fixed', { ackTimeoutMs: 1 }],
    ['http on localhost', { baseUrl: 'http://localhost:1' }],
    ['http on the IPv6 loopback', { baseUrl: 'http://[::1]:1' }],
    ['https elsewhere', { baseUrl: 'https://gateway.example/v1' }],
  ])('accepts %s', (_what, change) => {
    expect(parse({ ...minimal, channels: { support: { ...channel, ...change } } }).channels).toHaveLength(1);
  });

  it.each([
    ['Pub/Sub without its project', { pubsub: { enabled: true, subscription: 'sub' } }, 'pubsub.projectId is required'],
    ['a renewal too slow for the lease', { ownership: { renewEveryMs: 4_800 } }, 'ownership.renewEveryMs must leave'],
    [
      'a stop too short for a hand-over',
      { node: { stopTimeoutMs: 14_999 } },
      'node.stopTimeoutMs must be at least 1.2',
    ],
    ['a request timeout below that of its headers', { http: { requestTimeoutMs: 1 } }, 'http.requestTimeoutMs must be'],
    ['dedupe beyond the history', { postgres: { ...minimal.postgres, dedupeDays: 31 } }, 'postgres.dedupeDays must be'],
    ['a store that is not Postgres', { postgres: { url: 'mysql://localhost/db' } }, 'postgres.url must be a URL of'],
    ['a remote store without TLS', { postgres: { url: 'postgres://u@db.example/d' } }, 'postgres.url must say sslmode'],
    [
      'a remote store named behind a local one',
      { postgres: { url: 'postgres://u@localhost/d?host=db.example' } },
      'postgres.url must say sslmode',
    ],
    [
      'a remote store whose last word is no TLS',
      { postgres: { url: 'postgres://u@db.example/d?sslmode=verify-full&sslmode=disable' } },
      'postgres.url must say sslmode',
    ],
    ['a Redis that is none', { redis: { url: 'http://localhost:6379' } }, 'redis.url must be a URL of the form'],
    ['a Redis with settings in its URL', { redis: { url: 'redis://localhost/0?a=1' } }, 'redis.url must be a URL of'],
    ['a remote Redis without TLS', { redis: { url: 'redis://:pw@redis.example' } }, 'redis.url must begin with rediss'],
    ['a channel name with a slash', { channels: { 'a/b': channel } }, 'channels.a/b is not a known setting'],
    ['a key named __proto__', JSON.parse('{"http":{"__proto__":{"port":1}}}'), 'http.__proto__ is not a known setting'],
  ])('refuses %s', (_what, change, expected) => {
    expect(brief(refusals({ ...minimal, ...change }))).toContainEqual(expect.stringContaining(expected));
  });

  it.each([
    ['as long as the longest hand-over and 3 s', { node: { stopTimeoutMs: handOverLimitMs(10_000) + 3_000 } }],
    ['shorter where nothing is handed over', { node: { stopTimeoutMs: 100, roles: ['api', 'webhook'] } }],
  ])('accepts a stop that is %s', (_what, change) => {
    expect(parse({ ...minimal, ...change }).node).toMatchObject(change.node);
  });

  it.each([
    ['on a loopback address', 'postgres://u:pw@127.0.0.1:5433/d'],
    ['behind TLS', 'postgres://u:pw@db.example/d?sslmode=verify-full'],
    ['behind a Unix socket', 'postgres:///d?host=/var/run/postgresql&user=u'],
    ['behind a Unix socket in the place of a host', 'postgres://u:pw@%2Fcloudsql%2Fproject%3Aregion%3Aname/d'],
  ])('accepts a store %s', (_where, url) => {
    expect(parse({ ...minimal, postgres: { url } }).postgres.url.reveal()).toBe(url);
  });

  it.each<[string, { url?: string; requireVerifiedTls?: boolean }]>([
    ['none', {}],
    ['one on a loopback address', { url: 'redis://:pw@127.0.0.1:6379/2' }],
    ['one behind TLS', { url: 'rediss://limits:pw@redis.example' }],
    ['one in a network that is encrypted', { url: 'redis://redis.internal:6379', requireVerifiedTls: false }],
  ])('accepts as Redis %s', (_what, redis) => {
    const config = parse({ ...minimal, redis });
    expect(config.redis.url?.reveal()).toBe(redis.url);
    expect(config.redis).toMatchObject({ keyPrefix: 'roomline:', commandTimeoutMs: 250 });
    expect(parse(minimal, { env: { ROOMLINE_REDIS_URL: 'redis://:pw@[::1]' } }).redis.url?.reveal()).toContain('[::1]');
  });

  describe('channels of platforms', () => {
    const whatsapp = {
      account: 'acme',
      platform: 'whatsapp',
      accessToken: 'token',
      webhookSecrets: ['0123456789abcdef'],
      whatsapp: { phoneNumberId: '900000000000002' },
    };

    it('take what their platform says before what all channels say', () => {
      const [first] = parse({
        ...minimal,
        channelDefaults: { maxConcurrentSends: 7 },
        channels: { one: whatsapp },
      }).channels;
      expect(first).toMatchObject({
        baseUrl: 'https://graph.facebook.com',
        whatsapp: { phoneNumberId: '900000000000002', apiVersion: 'v25.0' },
        roomLimit: { everyMs: 6_000 },
        backoff: { factor: 4, jitter: 0.2 },
        maxConcurrentSends: 7,
      });
      const own = { platformDefaults: { whatsapp: { ackTimeoutMs: 9_000 } }, channelDefaults: { ackTimeoutMs: 1 } };
      expect(parse({ ...minimal, ...own, channels: { one: whatsapp } }).channels[0]?.ackTimeoutMs).toBe(9_000);
    });

    it.each([
      ['a platform that is none', { platform: 'pigeon' }, 'channels.one.platform must be one of generic'],
      ['a platform without its section', { whatsapp: undefined }, 'channels.one.whatsapp.phoneNumberId is required'],
      ['the section of another platform', { vonage: { from: 'x', channel: 'sms' } }, 'channels.one.vonage must not'],
      ['an incomplete one', { messenger: { pageId: '100' } }, 'channels.one.messenger must not stand'],
      ['an id that is none', { whatsapp: { phoneNumberId: '+49' } }, 'channels.one.whatsapp.phoneNumberId must match'],
    ])('are refused with %s', (_what, change, expected) => {
      const error = refusals({ ...minimal, channels: { one: { ...whatsapp, ...change } } });
      expect(brief(error)).toContainEqual(expect.stringContaining(expected));
    });

    it('need a public address where each request names where its statuses go', () => {
      const twilio = {
        ...whatsapp,
        platform: 'twilio',
        whatsapp: undefined,
        twilio: { accountSid: `AC${'0'.repeat(32)}`, from: '+15550100002' },
      };
      const channels = { one: twilio };
      expect(brief(refusals({ ...minimal, channels }))).toContainEqual(
        expect.stringContaining('http.publicUrl is required for the platform twilio'),
      );
      const http = { publicUrl: 'https://roomline.example' };
      expect(parse({ ...minimal, http, channels }).http.publicUrl).toBe(http.publicUrl);
      expect(brief(refusals({ ...minimal, http: { publicUrl: 'http://roomline.example' }, channels }))).toContainEqual(
        expect.stringContaining('http.publicUrl must use https'),
      );
    });

    it('of one account have one limit on the account', () => {
      const other = { ...whatsapp, accountLimit: { perSecond: 5 } };
      expect(brief(refusals({ ...minimal, channels: { one: whatsapp, two: other } }))).toContainEqual(
        expect.stringContaining('accountLimit must be the same on all channels of the account acme'),
      );
    });
  });

  it('refuses keys of the same name and dates that do not exist', () => {
    const key = { name: 'a', hash: `sha256:${'0'.repeat(64)}`, scopes: ['read'] };
    const keys = (...list: object[]) => brief(refusals({ ...minimal, auth: { keys: list } }));
    expect(keys(key, key)).toEqual([expect.stringContaining('auth.keys must have names that differ')]);
    expect(keys({ ...key, expiresAt: '2026-13-01T00:00:00Z' })).toEqual([
      expect.stringContaining('date of the calendar'),
    ]);
    const rate = { perSecond: 50, burst: 100 };
    const bound = { ...key, tenants: ['acme'], limits: { requests: rate, messages: rate } };
    expect(() => keys(bound)).toThrow('the configuration was accepted');
    expect(keys({ ...key, tenants: [] })).toEqual([expect.stringContaining('auth.keys.0.tenants')]);
    expect(keys({ ...key, limits: { bytes: rate } })).toEqual([expect.stringContaining('auth.keys.0.limits')]);
    expect(keys({ ...key, hash: 'sha256:12' })).toEqual([expect.stringContaining('auth.keys.0.hash must match')]);
  });

  it('never shows a value, since any value may be a secret in the wrong place', () => {
    const canary = 'canary-4711';
    const error = refusals({
      http: { host: { [`${canary}`]: 1 }, port: canary },
      postgres: { url: `mysql://u:${canary}@localhost/db` },
      reference: { secret: canary },
      channels: { support: { ...channel, baseUrl: `https://u:${canary}@gateway.example`, accessToken: [canary] } },
    });
    const shown = error.message.replaceAll(`http.host.${canary}`, '');
    expect(error.issues.length).toBeGreaterThanOrEqual(5);
    expect(shown).not.toContain(canary);
  });
});

describe('loadConfig', () => {
  it('reads the file that ROOMLINE_CONFIG names and lays overrides over it', () => {
    const file = new URL('../config/example.json', import.meta.url).pathname;
    const env = {
      ROOMLINE_CONFIG: file,
      DATABASE_URL: 'postgres://roomline:pw@localhost/roomline',
      SUPPORT_ACCESS_TOKEN: 'token',
      SUPPORT_WEBHOOK_SECRET: 'a-webhook-secret',
    };
    const config = loadConfig({ env, overrides: { reference: { secret: REFERENCE_SECRET }, http: { port: 0 } } });
    expect(config.http.port).toBe(0);
    expect(config.pubsub.projectId).toBe('example-project');
  });

  it('says which file it cannot read', () => {
    expect(() => loadConfig({ file: '/nowhere/roomline.json', env: {} })).toThrow(
      /nowhere\/roomline\.json cannot be read/,
    );
  });
});

describe('a secret', () => {
  it('shows itself to nobody who does not ask', () => {
    const secret = new Secret('canary-4711');
    const shown = [`${secret}`, String(secret), JSON.stringify({ secret }), inspect({ secret }), inspect(secret)];
    expect(shown.join()).not.toContain('canary');
    expect(JSON.stringify({ secret })).toBe('{"secret":"[secret]"}');
    expect(secret.reveal()).toBe('canary-4711');
  });
});

describe('the documentation', () => {
  it('lists every setting as the schema has it', async () => {
    const page = renderConfigurationMarkdown(JSON.parse(DEFAULTS));
    for (const name of ENVIRONMENT_SETTINGS.keys()) if (name !== 'ROOMLINE_CHANNELS') expect(page).toContain(name);
    await expect(page).toMatchFileSnapshot('../docs/configuration.md');
  });
});
