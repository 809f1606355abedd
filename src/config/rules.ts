/** Rules that tie several settings together, or that a schema cannot say. */
import { isIP } from 'node:net';
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

export function rulesOf(config: Config): ConfigRule[] {
  const { ownership, http, pubsub, postgres } = config;
  return [
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
    { path: 'auth.keys', inputs: ['auth.keys'], check: () => keys(config) },
    ...config.channels.flatMap((channel) => channelRules(channel, config)),
  ];
}

function channelRules(channel: ChannelConfig, { ownership }: Config): ConfigRule[] {
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
    { path: `${path}.baseUrl`, inputs: [`${path}.baseUrl`], check: () => baseUrl(channel.baseUrl) },
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
  const safe = isLoopback(url.hostname) || url.searchParams.get('sslmode') === 'verify-full';
  return unless(
    safe || !postgres.requireVerifiedTls,
    'must say sslmode=verify-full for a server that is not on a loopback address',
    'add ?sslmode=verify-full, or set postgres.requireVerifiedTls to false where the network itself is encrypted',
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
