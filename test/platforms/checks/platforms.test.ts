import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { servicesOrigin } from '../../../src/platforms/checks/twilio.ts';
import { accountsOrigin } from '../../../src/platforms/checks/vonage.ts';
import { CASES, type Case, check, find, hidden, startFake, troubles } from './support.ts';

/** What no platform tells, so that it is left to people. */
const BY_HAND: Record<keyof typeof CASES, readonly string[]> = {
  generic: ['webhook_url not_checkable not_told', 'webhook_secret not_checkable not_told'],
  whatsapp: [],
  telegram: ['webhook_secret not_checkable not_told'],
  messenger: [],
  instagram: [],
  twilio: [],
  vonage: [
    'account not_checkable application_may_not_ask',
    'sender not_checkable application_may_not_ask',
    'webhook_secret not_checkable not_told',
  ],
};

const WRONG_TOKEN: Record<keyof typeof CASES, string> = {
  generic: 'token failed http_401',
  whatsapp: 'token failed 190',
  telegram: 'token failed 401',
  messenger: 'token failed 190',
  instagram: 'token failed 190',
  twilio: 'token failed 20003',
  vonage: 'token failed unauthorized',
};

const EACH = Object.entries(CASES) as [keyof typeof CASES, Case][];

async function startAnswering(status: number, headers: Record<string, string> = {}, body = ''): Promise<string> {
  const server = createServer((_request, response) => response.writeHead(status, headers).end(body));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe.each(EACH)('a channel of %s', (name, one) => {
  it('finds nothing wrong where all is well', async () => {
    const platform = await startFake(one);
    const findings = await check(one, platform.url);
    expect(troubles(findings)).toEqual(BY_HAND[name]);
    expect(findings.map((finding) => finding.name)).toEqual(expect.arrayContaining(['settings', 'platform', 'clock']));
    expect(find(findings, 'token')).toMatchObject({ outcome: 'ok' });
  });

  it('sends nothing', async () => {
    const platform = await startFake(one);
    await check(one, platform.url);
    expect([...platform.groundTruth.records()].filter(({ t }) => t === 'receipt')).toEqual([]);
  });

  it('finds a token that the platform refuses', async () => {
    const platform = await startFake(one);
    expect(troubles(await check(one, platform.url, { config: one.wrongToken }))).toContain(WRONG_TOKEN[name]);
  });

  it('finds a token that was revoked', async () => {
    const platform = await startFake(one, { revoked: true, webhook: undefined as never });
    expect(troubles(await check(one, platform.url))).toContain(WRONG_TOKEN[name]);
  });

  it('says that the platform cannot be reached, and no more', async () => {
    const platform = await startFake(one);
    await platform.stop();
    expect(troubles(await check(one, platform.url))).toEqual(['platform failed connect_refused']);
  });

  it('waits no longer than it was told', async () => {
    const platform = await startFake(one);
    platform.control.scheduleOutage({ kind: 'black_hole' });
    const startedAt = performance.now();
    expect(troubles(await check(one, platform.url, { timeoutMs: 300 }))).toEqual(['platform failed timeout']);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
  });

  it.each([
    ['a fault of the platform', 503, {}, 'platform failed http_503'],
    ['a limit', 429, {}, 'platform warning http_429'],
    ['a redirect, which is not followed', 302, { location: 'http://127.0.0.1:9/' }, 'platform failed redirected'],
  ])('understands %s', async (_what, status, headers, expected) => {
    const url = await startAnswering(status, headers as Record<string, string>);
    expect(troubles(await check(one, url))).toEqual([expected]);
  });

  it('takes nothing else for the platform', async () => {
    const url = await startAnswering(404, { 'content-type': 'text/html' }, '<html>not found</html>');
    const findings = await check(one, url);
    expect(find(findings, 'token')?.outcome).not.toBe('ok');
    if (name !== 'generic') expect(troubles(findings)).toEqual(['platform failed http_404']);
  });

  it('finds a clock that is off', async () => {
    const platform = await startFake(one);
    const findings = await check(one, platform.url, { wallClockMs: () => Date.now() - 600_000 });
    expect(find(findings, 'clock')).toMatchObject({ outcome: 'warning', code: 'clock_off' });
    expect(find(findings, 'clock')?.detail).toMatch(/\b(599|600|601) s behind/);
  });
});

describe('hosts beside that of the messages', () => {
  it.each([
    [servicesOrigin, 'https://api.twilio.com', 'https://messaging.twilio.com'],
    [servicesOrigin, 'https://api.sydney.au1.twilio.com', 'https://messaging.sydney.au1.twilio.com'],
    [servicesOrigin, 'https://api.twilio.com.example', 'https://api.twilio.com.example'],
    [servicesOrigin, 'http://127.0.0.1:8090', 'http://127.0.0.1:8090'],
    [accountsOrigin, 'https://api.nexmo.com', 'https://rest.nexmo.com'],
    [accountsOrigin, 'https://api-eu.nexmo.com', 'https://rest.nexmo.com'],
    [accountsOrigin, 'https://api.nexmo.com.example', 'https://api.nexmo.com.example'],
  ])("are only the platform's own: %o of %s", (originOf, origin, expected) => {
    expect(originOf(origin)).toBe(expected);
  });
});

describe('settings that the adapter refuses', () => {
  it.each([
    ['telegram', { accessToken: hidden('not-a-bot-token') }, 'accessToken'],
    ['vonage', { accessToken: hidden('not a key') }, 'accessToken'],
    ['twilio', { twilio: undefined as never }, 'twilio'],
  ] as const)('are named, and %s is not asked', async (name, config, field) => {
    const one: Case = CASES[name];
    const findings = await check(one, 'http://127.0.0.1:1', { config });
    expect(troubles(findings)).toEqual(['settings failed config_invalid']);
    expect(findings[0]?.detail).toContain(field);
  });
});
