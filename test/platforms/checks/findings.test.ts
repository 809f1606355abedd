import { describe, expect, it } from 'vitest';
import { WABA } from '../../../simulators/platform/graph-nodes.ts';
import { CASES, check, find, hidden, PRIVATE_KEY, SECRET, startFake, troubles, WEBHOOK_URL } from './support.ts';

const ELSEWHERE = 'https://elsewhere.example/hook-with-a-secret-path';
const SHARED = WEBHOOK_URL.replace('/support', '/sales');
const inDays = (days: number) => Math.floor(Date.now() / 1_000) + days * 86_400;

/** Of a channel whose platform tells this. */
async function told(
  name: keyof typeof CASES,
  about: Record<string, unknown>,
  asking: Parameters<typeof check>[2] = {},
) {
  const platform = await startFake(CASES[name], { about });
  return check(CASES[name], platform.url, asking);
}

const META = ['whatsapp', 'messenger', 'instagram'] as const;

describe.each(META)('what Meta tells of a channel of %s', (name) => {
  it.each([
    ['never ends', { expires_at: 0, data_access_expires_at: 0 }, 'ok'],
    ['ends much later', { expires_at: inDays(60) }, 'ok'],
    ['ends soon', { expires_at: inDays(1) }, 'expires_soon'],
    ['may soon see nothing more', { data_access_expires_at: inDays(3) }, 'expires_soon'],
    ['ends at a time that is none', { expires_at: 1e300 }, 'answer_unreadable'],
  ])('of a token that %s', async (_what, token, code) => {
    expect(find(await told(name, { token }), 'token_expiry')).toMatchObject({ code });
  });

  it('of a token that may not send', async () => {
    const findings = await told(name, { token: { scopes: ['public_profile'] } });
    expect(troubles(findings)).toEqual(['permissions failed permission_missing']);
  });

  it('of webhook secrets, of which one has to be that of the app', async () => {
    const platform = await startFake(CASES[name]);
    const wrong = { webhookSecrets: [hidden('a'.repeat(32)), hidden('with spaces, so of no app')] };
    expect(troubles(await check(CASES[name], platform.url, { config: wrong }))).toEqual(
      expect.arrayContaining(['webhook_secret failed webhook_secret_wrong']),
    );
    const rotated = { webhookSecrets: [hidden('with spaces, so of no app'), hidden(SECRET)] };
    const findings = await check(CASES[name], platform.url, { config: rotated });
    expect(find(findings, 'webhook_secret')).toMatchObject({ outcome: 'ok' });
    expect(find(findings, 'webhook_secret')?.detail).toContain('number 2 of 2');
  });

  it.each([
    ['another host', ELSEWHERE],
    ['another path', 'http://roomline.example/callbacks'],
  ])('of webhooks that go to %s, without showing where exactly', async (_what, callbackUrl) => {
    const findings = await told(name, { callbackUrl });
    expect(troubles(findings)).toEqual(['webhook_url failed webhook_elsewhere']);
    expect(find(findings, 'webhook_url')?.detail).toContain(new URL(callbackUrl).origin);
    expect(JSON.stringify(findings)).not.toContain(new URL(callbackUrl).pathname);
  });

  it('of webhooks that go to another channel of the app', async () => {
    expect(troubles(await told(name, { callbackUrl: SHARED }))).toEqual([]);
  });

  it('of webhooks that nobody can compare', async () => {
    const findings = await told(name, {}, { webhookUrl: null });
    expect(troubles(findings)).toEqual(['webhook_url not_checkable public_url_missing']);
  });

  it('of an app that is not told of what matters', async () => {
    const findings = await told(name, { fields: ['feed'] });
    expect(troubles(findings)).toEqual(['webhook_subscription failed field_missing']);
  });

  it('of a sender whose events the app is not told of', async () => {
    const findings = await told(name, { subscribed: [] });
    expect(troubles(findings)).toEqual(['account_subscription failed not_subscribed']);
  });
});

describe('an unknown sender', () => {
  it.each([
    ['whatsapp', 'sender failed 100_33'],
    ['messenger', 'sender failed sender_mismatch'],
    ['instagram', 'sender failed sender_mismatch'],
  ] as const)('of %s', async (name, expected) => {
    expect(troubles(await told(name, { id: '900000000000077' }))).toContain(expected);
  });
});

describe('what Meta tells of a business number', () => {
  it.each([
    [{ platform_type: 'NOT_APPLICABLE' }, 'sender_state failed not_registered'],
    [{ status: 'BANNED' }, 'sender_state failed number_banned'],
    [{ status: 'FLAGGED' }, 'sender_state warning number_flagged'],
    [{ code_verification_status: 'NOT_VERIFIED' }, 'sender_state warning number_not_verified'],
    [{ name_status: 'DECLINED' }, 'sender_state warning name_declined'],
    [{ quality_rating: 'RED' }, 'sender_quality warning quality_red'],
  ])('%o', async (node, expected) => {
    expect(troubles(await told('whatsapp', { node }))).toEqual([expected]);
  });

  it('shows number, name and throughput, and nothing that a terminal would obey', async () => {
    expect(find(await told('whatsapp', {}), 'sender')?.detail).toBe(
      'The number is +1 555-010-0002 (Roomline Test), throughput STANDARD.',
    );
    const findings = await told('whatsapp', { node: { verified_name: 'Shop\u001b[2J' } });
    expect(find(findings, 'sender')?.detail).toBe('The number is +1 555-010-0002, throughput STANDARD.');
  });

  it.each([
    ['BLOCKED', 'sender_health failed health_blocked'],
    ['LIMITED', 'sender_health warning health_limited'],
  ])('whose business is %s', async (state, expected) => {
    const entities = [
      { entity_type: 'PHONE_NUMBER', id: '1', can_send_message: 'AVAILABLE' },
      { entity_type: 'WABA', id: WABA, can_send_message: state, errors: [{ error_code: 141_006 }] },
    ];
    const findings = await told('whatsapp', { node: { health_status: { can_send_message: state, entities } } });
    expect(troubles(findings)).toEqual([expected]);
    expect(find(findings, 'sender_health')?.detail).toContain('WABA 141006');
  });

  it('whose account it does not name: then people have to look', async () => {
    const findings = await told('whatsapp', { node: { health_status: { can_send_message: 'AVAILABLE' } } });
    expect(troubles(findings)).toEqual(['account_subscription not_checkable account_unknown']);
  });

  it('whose own address comes before that of the app', async () => {
    const node = { webhook_configuration: { phone_number: ELSEWHERE, application: WEBHOOK_URL } };
    expect(troubles(await told('whatsapp', { node }))).toEqual(['webhook_url failed webhook_elsewhere']);
  });
});

describe('what Meta tells of an Instagram account', () => {
  it('with Instagram Login, where it says nothing of the token', async () => {
    const findings = await told('instagram', { login: 'instagram' });
    expect(find(findings, 'sender')).toMatchObject({ outcome: 'ok' });
    expect(find(findings, 'account_subscription')).toMatchObject({ outcome: 'ok' });
    expect(troubles(findings)).toEqual([
      'token_expiry not_checkable 100_33',
      'permissions not_checkable 100_33',
      'webhook_secret not_checkable app_unknown',
      'webhook_subscription not_checkable app_unknown',
      'webhook_url not_checkable not_told',
    ]);
  });

  it('of a page without one', async () => {
    const findings = await told('instagram', { node: { instagram_business_account: null } });
    expect(troubles(findings)).toEqual(['sender failed sender_unknown']);
  });
});

describe('what Meta tells of a page', () => {
  it('of whose reads the app is not told', async () => {
    const subscribed = ['message_echoes', 'message_deliveries'];
    expect(troubles(await told('messenger', { subscribed }))).toEqual(['account_subscription warning field_missing']);
  });
});

describe('what Telegram tells of a bot', () => {
  const BY_HAND = 'webhook_secret not_checkable not_told';

  it.each([
    [{ last_error_message: 'Wrong response from the webhook: 401 Unauthorized' }, 'webhook_answered_401'],
    [{ last_error_message: 'Connection refused', last_error_date: 1_700_000_000 }, 'webhook_refused'],
    [{ last_error_message: 'Connection timed out' }, 'webhook_timeout'],
    [{ last_error_message: 'SSL error {error:0A000086:certificate verify failed}' }, 'webhook_tls'],
    [{ last_error_message: 'Failed to resolve host: Name or service not known' }, 'webhook_dns'],
    [{ last_error_message: 'other words with whatever in them' }, 'webhook_failed'],
    [{ pending_update_count: 5_000 }, 'updates_pending'],
  ])('%o', async (about, code) => {
    const findings = await told('telegram', about);
    expect(troubles(findings)).toEqual([`webhook_delivery warning ${code}`, BY_HAND]);
    expect(JSON.stringify(findings)).not.toContain('whatever');
  });

  it('whose updates go elsewhere, which may be right, without showing where exactly', async () => {
    const findings = await told('telegram', { url: ELSEWHERE, last_error_message: 'Connection refused' });
    expect(troubles(findings)).toEqual(['webhook_url warning webhook_elsewhere', BY_HAND]);
    expect(JSON.stringify(findings)).not.toContain('secret-path');
  });

  it('without a webhook, which sending does not need', async () => {
    expect(troubles(await told('telegram', { url: '' }))).toEqual([BY_HAND]);
  });

  it('with a certificate of its own, and kinds of update', async () => {
    const about = { has_custom_certificate: true, allowed_updates: ['message', 'x\u001b[2J'] };
    const findings = await told('telegram', about);
    expect(troubles(findings)).toEqual(['webhook_certificate warning custom_certificate', BY_HAND]);
    expect(find(findings, 'webhook_subscription')?.detail).toBe('Kinds of update: message, x????.');
  });

  it('where our address is not known', async () => {
    const findings = await told('telegram', {}, { webhookUrl: null });
    expect(troubles(findings)).toEqual(['webhook_url not_checkable public_url_missing', BY_HAND]);
  });
});

describe('what Twilio tells', () => {
  const KEY = `SK${'2'.repeat(32)}`;
  const { accountSid } = CASES.twilio.own.twilio;
  const from = (sender: string) => ({ config: { twilio: { accountSid, from: sender } } });

  it.each([
    [{ account: { status: 'suspended' } }, {}, ['account failed account_suspended']],
    [{ account: { type: 'Trial' } }, {}, ['account warning account_trial']],
    [{ numbers: [] }, {}, ['sender failed sender_unknown']],
    [{}, from('+15550109999'), ['sender failed sender_unknown']],
    [{ numbers: ['12345'] }, from('12345'), []],
    [{}, from('12345'), ['sender failed sender_unknown']],
    [{}, from(`MG${'3'.repeat(32)}`), []],
    [{ services: [] }, from(`MG${'3'.repeat(32)}`), ['sender failed sender_unknown']],
    [{}, from('whatsapp:+15550100002'), ['sender not_checkable not_told']],
    [{}, from('Our Shop'), ['sender not_checkable not_told']],
  ])('of %o (%o)', async (about, asking, expected) => {
    expect(troubles(await told('twilio', about, asking))).toEqual(expected);
  });

  it('an API key, which may not look at the account', async () => {
    const one = { ...CASES.twilio, token: `${KEY}:key-secret-of-ours`, accessToken: `${KEY}:key-secret-of-ours` };
    const platform = await startFake(one);
    expect(troubles(await check(one, platform.url))).toEqual(['account not_checkable key_may_not_ask']);
    const wrong = { accessToken: hidden(`${KEY}:another-secret`) };
    expect(troubles(await check(one, platform.url, { config: wrong }))).toEqual(['token failed 20003']);
  });

  it('of webhook secrets, of which one has to be the auth token', async () => {
    const platform = await startFake(CASES.twilio);
    const wrong = { webhookSecrets: [hidden('a'.repeat(32))] };
    expect(troubles(await check(CASES.twilio, platform.url, { config: wrong }))).toEqual([
      'webhook_secret failed webhook_secret_wrong',
    ]);
    const rotated = { webhookSecrets: [hidden('with spaces, so of no account'), hidden(SECRET)] };
    const findings = await check(CASES.twilio, platform.url, { config: rotated });
    expect(troubles(findings)).toEqual([]);
    expect(find(findings, 'webhook_secret')?.detail).toContain('Number 2 of 2');
  });
});

describe('what Vonage tells', () => {
  const basic = {
    accessToken: hidden('abcd1234:api-secret-of-ours'),
    vonage: { from: '15550100002', channel: 'sms' },
  } as const;
  const account = { ...CASES.vonage, token: 'abcd1234:api-secret-of-ours' };
  const USUAL = ['webhook_secret not_checkable not_told', 'webhook_url warning without_application'];

  it.each([
    [{}, {}, []],
    [{ balance: 0 }, {}, ['account warning no_credit']],
    [{ numbers: [] }, {}, ['sender warning sender_unknown']],
    [{}, { vonage: { from: 'Our Shop', channel: 'sms' } }, ['sender not_checkable not_told']],
    [{}, { accessToken: hidden('abcd1234:wrong-secret-of-ours') }, null],
  ] as const)('an account of which it says %o (%o)', async (about, config, expected) => {
    const platform = await startFake(account, { about: { ...about } });
    const findings = await check(account, platform.url, { config: { ...basic, ...config } });
    expect(troubles(findings)).toEqual(expected === null ? ['token failed unauthorized'] : [...expected, ...USUAL]);
    expect(JSON.stringify(findings)).not.toContain('10.28');
  });

  it('an application without a public address', async () => {
    const platform = await startFake(CASES.vonage);
    const findings = await check(CASES.vonage, platform.url, { webhookUrl: null });
    expect(troubles(findings)).toContain('webhook_url not_checkable public_url_missing');
    expect(JSON.stringify(findings)).not.toContain(PRIVATE_KEY.split('\n')[1]);
  });
});

describe('what a gateway tells', () => {
  const USUAL = ['webhook_url not_checkable not_told', 'webhook_secret not_checkable not_told'];

  it('without a health path: nothing of the token', async () => {
    expect(troubles(await told('generic', { health: false }))).toEqual(['token not_checkable http_404', ...USUAL]);
  });

  it('by its lookups', async () => {
    const platform = await startFake(CASES.generic, { about: { health: false } });
    const findings = await check(CASES.generic, platform.url, { config: { lookup: true } });
    expect(troubles(findings)).toEqual(USUAL);
    expect(find(findings, 'lookup')).toMatchObject({ outcome: 'ok' });
  });
});
