import { describe, expect, it } from 'vitest';
import { APP } from '../../../simulators/platform/graph-nodes.ts';
import { CASES, SECRET, startFake, WEBHOOK_URL } from '../../platforms/checks/support.ts';

async function get(url: string, authorization: string) {
  const response = await fetch(url, { headers: { authorization } });
  return { status: response.status, body: await response.json() };
}

describe('the Graph API, asked', () => {
  const { token } = CASES.whatsapp;
  const phone = CASES.whatsapp.own.whatsapp.phoneNumberId;

  it('gives the fields that were asked for, and the id', async () => {
    const { url } = await startFake(CASES.whatsapp);
    expect(await get(`${url}/v25.0/${phone}?fields=quality_rating`, `Bearer ${token}`)).toEqual({
      status: 200,
      body: { id: phone, quality_rating: 'GREEN' },
    });
  });

  it.each([
    [`${phone}?fields=nonsense`, token, 400, 100],
    ['123?x', token, 200, undefined],
    ['nonsense', token, 400, 100],
    [`${phone}/nonsense`, token, 400, 2500],
    [phone, 'another token', 401, 190],
    [`${APP}/subscriptions`, token, 401, 190],
    [`${APP}/subscriptions`, `${APP}|another secret`, 401, 190],
  ])('answers %s of %s by %i, %s', async (path, bearer, status, code) => {
    const { url } = await startFake(CASES.whatsapp);
    const answer = await get(`${url}/v25.0/${path}`, `Bearer ${bearer}`);
    expect(answer.status).toBe(status);
    expect((answer.body as { error?: { code: number } }).error?.code).toBe(code);
  });

  it('tells the app where its webhooks go', async () => {
    const { url } = await startFake(CASES.whatsapp);
    expect(await get(`${url}/v25.0/${APP}/subscriptions`, `Bearer ${APP}|${SECRET}`)).toMatchObject({
      body: { data: [{ object: 'whatsapp_business_account', callback_url: WEBHOOK_URL, active: true }] },
    });
  });
});

describe('outages', () => {
  it('hold for questions, too', async () => {
    const platform = await startFake(CASES.telegram);
    const ask = () => fetch(`${platform.url}/bot${CASES.telegram.token}/getMe`);
    platform.control.scheduleOutage({ kind: 'server_error', status: 502 });
    expect((await ask()).status).toBe(502);
    platform.control.endOutages();
    expect((await ask()).status).toBe(200);
    platform.control.scheduleOutage({ kind: 'reset' });
    await expect(ask()).rejects.toThrow();
  });
});

describe('Twilio, asked', () => {
  const resource = `/2010-04-01/Accounts/${CASES.twilio.own.twilio.accountSid}.json`;
  const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

  it.each([
    ['the auth token', CASES.twilio.own.twilio.accountSid, SECRET, 200, undefined],
    ['that of another account', `AC${'9'.repeat(32)}`, SECRET, 401, 20003],
    ['another token', CASES.twilio.own.twilio.accountSid, 'another', 401, 20003],
    ['a standard key', `SK${'2'.repeat(32)}`, 'of ours', 401, 20003],
  ])('tells of the account by %s', async (_what, user, password, status, code) => {
    const one = user.startsWith('SK') ? { ...CASES.twilio, token: `${user}:${password}` } : CASES.twilio;
    const { url } = await startFake(one);
    const answer = await get(`${url}${resource}`, basic(user, password));
    expect(answer.status).toBe(status);
    expect((answer.body as { code?: number }).code).toBe(code);
  });
});
