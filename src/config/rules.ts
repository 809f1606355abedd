/** Rules that tie several settings together, or that a schema cannot say. */
import { isIP } from 'node:net';
import { isAbsolute } from 'node:path';
import { platformSettings } from './platforms.ts';
import type { ChannelConfig, Config } from './schema.ts';

export interface ConfigRule {
  /** Settings that the rule reads; it is not tried while one of them is wrong in itself. */
  readonly inputs: readonly string[];
  /** The setting to name when the rule is broken. */
  readonly path: string;
  /** What is required and what to do, or null where all is well. */
  check(): { readonly rule: string; readonly action: string } | null;
}

/** The part of the time between send timeout and lease that renewal and scheduling may take. */
const LEASE_MARGIN_MS = 500;

/** A worker that ends hands its shards over within so many leases. */
const HAND_OVER_LEASES = 1.2;
/** What a stop takes besides: open requests end, what is in memory is stored, connections are closed. */
const STOP_MARGIN_MS = 3_000;

export function rulesOf(config: Config): ConfigRule[] {
  const { node, ownership, http, pubsub, postgres, redis, intake } = config;
  return [
    {
      path: 'node.stopTimeoutMs',
      inputs: ['node.stopTimeoutMs', 'node.roles', 'ownership.leaseMs'],
      check: () => {
        const least = Math.ceil(ownership.leaseMs * HAND_OVER_LEASES) + STOP_MARGIN_MS;
        return unless(
          node.stopTimeoutMs >= least || !node.roles.includes('worker'),
          `must be at least 1.2 * ownership.leaseMs + 3000 = ${least} where the roles include worker`,
          'raise it or shorten the lease: a worker that is stopped hands its shards over first',
        );
      },
    },
    {
      path: 'ownership.renewEveryMs',
      inputs: ['ownership.renewEveryMs', 'ownership.leaseMs'],
      check: () =>
        unless(
          ownership.renewEveryMs * 2 + LEASE_MARGIN_MS <= ownership.leaseMs,
          'must leave room for two renewals and 500 ms within ownership.leaseMs',
          'renew more often or lengthen the lease',
        ),
    },
    {
      path: 'http.requestTimeoutMs',
      inputs: ['http.requestTimeoutMs', 'http.headersTimeoutMs'],
      check: () =>
        unless(
          http.requestTimeoutMs >= http.headersTimeoutMs,
          'must be at least http.headersTimeoutMs',
          'raise it: the whole request includes its headers',
        ),
    },
    ...(['projectId', 'subscription'] as const).map((key) => ({
      path: `pubsub.${key}`,
      inputs: ['pubsub'],
      check: () =>
        unless(
          !pubsub.enabled || pubsub[key] !== undefined,
          'is required while pubsub.enabled is true',
          'set it or switch Pub/Sub off',
        ),
    })),
    { path: 'postgres.url', inputs: ['postgres.url', 'postgres.requireVerifiedTls'], check: () => postgresUrl(config) },
    {
      path: 'postgres.dedupeDays',
      inputs: ['postgres.dedupeDays', 'postgres.historyRetentionDays'],
      check: () =>
        unless(
          postgres.dedupeDays <= postgres.historyRetentionDays,
          'must be at most postgres.historyRetentionDays',
          'ids are recognised from the history: keep the history at least as long',
        ),
    },
    { path: 'redis.url', inputs: ['redis.url', 'redis.requireVerifiedTls'], check: () => redisUrl(config) },
    {
      path: 'redis.url',
      inputs: ['redis.url', 'intake.mode'],
      check: () =>
        unless(
          intake.mode === 'direct' || redis.url !== undefined,
          'is required while intake.mode is buffered',
          'name the Redis that is to hold the buffer, or accept directly',
        ),
    },
    { path: 'auth.keys', inputs: ['auth.keys'], check: () => keys(config) },
    {
      path: 'http.publicUrl',
      inputs: ['http.publicUrl'],
      check: () => (http.publicUrl === undefined ? null : baseUrl(http.publicUrl)),
    },
    {
      path: 'channelSettings.secretDirectory',
      inputs: ['channelSettings.secretDirectory'],
      check: () =>
        unless(isAbsolute(config.channelSettings.secretDirectory ?? '/'), 'must be an absolute path', 'write it out'),
    },
    ...config.channels.flatMap((channel) => channelRules(channel, config)),
  ];
}

/** Rules of one channel among `config.channels`. */
export function channelRules(channel: ChannelConfig, config: Config): ConfigRule[] {
  const { ownership } = config;
  const path = `channels.${channel.name}`;
  return [
    {
      path: `${path}.sendTimeoutMs`,
      inputs: [`${path}.sendTimeoutMs`, 'ownership.leaseMs', 'ownership.renewEveryMs'],
      check: () => {
        const most = ownership.leaseMs - ownership.renewEveryMs - LEASE_MARGIN_MS;
        return unless(
          channel.sendTimeoutMs <= most,
          `must be at most ownership.leaseMs - ownership.renewEveryMs - 500 = ${most}`,
          'shorten the timeout or lengthen the lease: a send must end within the lease it began under',
        );
      },
    },
    ...platformRules(channel, config),
    { path: `${path}.baseUrl`, inputs: [`${path}.baseUrl`], check: () => baseUrl(channel.baseUrl) },
    {
      path: `${path}.ackTimeout.floorMs`,
      inputs: [`${path}.ackTimeout`, `${path}.ackTimeoutMs`],
      check: () =>
        unless(
          channel.ackTimeout.mode === 'fixed' || channel.ackTimeout.floorMs <= channel.ackTimeoutMs,
          `must be at most ackTimeoutMs = ${channel.ackTimeoutMs} where the mode is adaptive`,
          'lower it, or raise ackTimeoutMs, which the adaptive timeout never exceeds',
        ),
    },
    {
      path: `${path}.backoff.maxMs`,
      inputs: [`${path}.backoff`],
      check: () =>
        unless(channel.backoff.maxMs >= channel.backoff.initialMs, 'must be at least backoff.initialMs', 'raise it'),
    },
    {
      path: `${path}.probe.maxMs`,
      inputs: [`${path}.probe`],
      check: () =>
        unless(channel.probe.maxMs >= channel.probe.initialMs, 'must be at least probe.initialMs', 'raise it'),
    },
  ];
}

/** Platforms that call an address which each request names. */
const NEED_PUBLIC_URL: readonly string[] = ['twilio'];

function platformRules(channel: ChannelConfig, { channels, http }: Config): ConfigRule[] {
  const path = `channels.${channel.name}`;
  const sections = Object.keys(platformSettings) as (keyof typeof platformSettings)[];
  const { platform } = channel;
  return [
    ...sections.map((name) => ({
      path: `${path}.${name}`,
      // Where it must not stand, its own faults make no difference.
      inputs: [`${path}.platform`, ...(name === platform ? [`${path}.${name}`] : [])],
      check: () =>
        name === platform
          ? unless(channel[name] !== undefined, `is required for the platform ${name}`, `see docs/channels/${name}.md`)
          : unless(channel[name] === undefined, `must not stand on a channel of ${platform}`, 'remove it'),
    })),
    {
      path: 'http.publicUrl',
      inputs: [`${path}.platform`, 'http.publicUrl'],
      check: () =>
        unless(
          !NEED_PUBLIC_URL.includes(platform) || http.publicUrl !== undefined,
          `is required for the platform ${platform}`,
          'set the address under which the platform reaches this listener',
        ),
    },
    {
      path: `${path}.accountLimit`,
      inputs: [`${path}.accountLimit`],
      check: () => {
        const others = channels.filter(
          ({ account, tenant }) => account === channel.account && tenant === channel.tenant,
        );
        const same = others.every(
          ({ accountLimit: { perSecond, burst } }) =>
            perSecond === channel.accountLimit.perSecond && burst === channel.accountLimit.burst,
        );
        return unless(same, `must be the same on all channels of the account ${channel.account}`, 'set one value');
      },
    },
  ];
}

function unless(holds: boolean, rule: string, action: string): { rule: string; action: string } | null {
  return holds ? null : { rule, action };
}

function baseUrl(text: string): { rule: string; action: string } | null {
  if (!URL.canParse(text)) {
    return { rule: 'must be an absolute URL', action: 'write it out, such as https://gateway.example/v1' };
  }
  const url = new URL(text);
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    return { rule: 'must hold no credentials, query or fragment', action: 'put the token into accessToken' };
  }
  const allowed = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname));
  return unless(allowed, 'must use https, or http on a loopback host', 'put the platform behind TLS');
}

function postgresUrl({ postgres }: Config): { rule: string; action: string } | null {
  const text = postgres.url.reveal();
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['postgres:', 'postgresql:'].includes(url.protocol) || url.pathname.length < 2) {
    return { rule: 'must be a URL of the form postgres://user:password@host:port/database', action: 'correct it' };
  }
  // As the driver has it: the query goes before the rest, and the last of a name before the others.
  const said = (name: string): string | undefined => url.searchParams.getAll(name).at(-1);
  const host = said('host') || url.hostname;
  const isSocket = /^(\/|%2f)/i.test(host);
  return unless(
    isSocket || isLoopback(host) || said('sslmode') === 'verify-full' || !postgres.requireVerifiedTls,
    'must say sslmode=verify-full for a server that is neither on a loopback address nor behind a Unix socket',
    'add ?sslmode=verify-full, or set postgres.requireVerifiedTls to false where the network itself is encrypted',
  );
}

function redisUrl({ redis }: Config): { rule: string; action: string } | null {
  if (redis.url === undefined) return null;
  const text = redis.url.reveal();
  const url = URL.canParse(text) ? new URL(text) : null;
  // Clients differ in what a query may say, and it could switch off what is checked here.
  if (url === null || url.hostname === '' || !/^rediss?:\/\/[^?#]*$/.test(text) || !/^(\/\d*)?$/.test(url.pathname)) {
    return { rule: 'must be a URL of the form redis://user:password@host:port/database', action: 'correct it' };
  }
  return unless(
    isLoopback(url.hostname) || url.protocol === 'rediss:' || !redis.requireVerifiedTls,
    'must begin with rediss:// for a server that is not on a loopback address',
    'use TLS, or set redis.requireVerifiedTls to false where the network itself is encrypted',
  );
}

function keys({ auth }: Config): { rule: string; action: string } | null {
  const names = new Set(auth.keys.map((key) => key.name));
  if (names.size < auth.keys.length) return { rule: 'must have names that differ', action: 'rename one of the keys' };
  const wrong = auth.keys.some((key) => key.expiresAt !== undefined && Number.isNaN(Date.parse(key.expiresAt)));
  return unless(!wrong, 'must have an expiresAt that is a date of the calendar', 'correct the date');
}

export function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '');
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
