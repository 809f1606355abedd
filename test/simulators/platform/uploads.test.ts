import { describe, expect, it, onTestFinished } from 'vitest';
import { messenger } from '../../../simulators/platform/messenger.ts';
import { createFakePlatform, type FakePlatform } from '../../../simulators/platform/platform.ts';
import type { Profile } from '../../../simulators/platform/profile.ts';
import { instant, type SettingsPatch } from '../../../simulators/platform/settings.ts';
import { whatsapp } from '../../../simulators/platform/whatsapp.ts';

async function start(profile: Profile, settings: SettingsPatch = {}): Promise<FakePlatform> {
  const platform = createFakePlatform({
    profile,
    settings: [instant, { channels: { default: { token: 'T' }, other: { token: 'U' } } }, settings],
  });
  await platform.start();
  onTestFinished(() => platform.stop());
  return platform;
}

function formOf(fields: Record<string, string | Blob>): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  return form;
}

const picture = (type = 'image/png', size = 10) => new Blob([new Uint8Array(size)], { type });
const right = { messaging_product: 'whatsapp', type: 'image/png', file: picture() };

async function post(platform: FakePlatform, path: string, body: FormData | object, token = 'T') {
  const form = body instanceof FormData;
  const response = await fetch(`${platform.url}/v25.0/${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, ...(form ? {} : { 'content-type': 'application/json' }) },
    body: form ? body : JSON.stringify(body),
  });
  const answer = (await response.json()) as { id?: string; attachment_id?: string; error?: { code: number } };
  return { status: response.status, id: answer.id ?? answer.attachment_id, code: answer.error?.code };
}

/** fetch sends no length with a form; the real thing has one. */
async function upload(platform: FakePlatform, form: FormData, token = 'T') {
  const encoded = new Response(form);
  const response = await fetch(`${platform.url}/v25.0/900000000000002/media`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': encoded.headers.get('content-type') ?? '' },
    body: await encoded.arrayBuffer(),
  });
  const answer = (await response.json()) as { id?: string; error?: { code: number } };
  return { id: answer.id, code: answer.error?.code };
}

const image = (id: string) => ({ messaging_product: 'whatsapp', to: '+15550100001', type: 'image', image: { id } });

describe('an upload to WhatsApp', () => {
  it.each([
    ['without the product', { ...right, messaging_product: 'sms' }, 100],
    ['without a file', { messaging_product: 'whatsapp', type: 'image/png' }, 100],
    ['of a type that it does not take', { ...right, type: 'text/html', file: picture('text/html') }, 100],
    ['of another type than it says', { ...right, type: 'image/jpeg' }, 100],
    ['of nothing', { ...right, file: picture('image/png', 0) }, 131053],
    ['that is too large', { ...right, file: picture('image/png', 5_242_881) }, 131053],
  ])('%s is refused', async (_what, fields, code) => {
    const platform = await start(whatsapp);
    expect(await upload(platform, formOf(fields))).toEqual({ id: undefined, code });
    const records = [...platform.groundTruth.records()].filter(({ t }) => t === 'upload');
    expect(records).toMatchObject([{ decision: 'refused', fault: String(code) }]);
  });

  it('gives an id that its own number can send until it expires', async () => {
    const platform = await start(whatsapp);
    const { id = '' } = await upload(platform, formOf(right));
    expect(id).toMatch(/^\d+$/);
    expect(await post(platform, '900000000000002/messages', image(id))).toMatchObject({ status: 200 });
    expect(await post(platform, '900000000000003/messages', image(id), 'U')).toMatchObject({ code: 100 });
    expect(await post(platform, '900000000000002/messages', image('4711'))).toMatchObject({ code: 100 });
    platform.control.change({ channel: { media: { idLifeMs: 0 } } });
    expect(await post(platform, '900000000000002/messages', image(id))).toMatchObject({ code: 100 });
  });

  it('of a stranger is refused', async () => {
    expect(await upload(await start(whatsapp), formOf(right), 'V')).toMatchObject({ code: 190 });
  });
});

describe('an upload to Messenger', () => {
  const attachment = (payload: object, type = 'image') => ({ message: { attachment: { type, payload } } });
  const link = 'https://media.example.test/a.jpg';

  it.each([
    ['without a message', {}],
    ['that is not reusable', attachment({ url: link })],
    ['without a link', attachment({ is_reusable: true })],
    ['of a template', attachment({ template_type: 'generic', url: link, is_reusable: true }, 'template')],
    ["for another platform's person", { ...attachment({ url: link, is_reusable: true }), platform: 'instagram' }],
  ])('%s is refused', async (_what, body) => {
    expect(await post(await start(messenger), 'me/message_attachments', body)).toMatchObject({ code: 100 });
  });

  it('gives an id, and what is linked instead leaves for the phone when it has been fetched', async () => {
    const platform = await start(messenger, { channel: { media: { linkDelayMs: 120 } } });
    const uploaded = await post(platform, 'me/message_attachments', attachment({ url: link, is_reusable: true }));
    const send = (payload: object) =>
      post(platform, 'me/messages', {
        recipient: { id: '6100000000000001' },
        messaging_type: 'RESPONSE',
        ...attachment(payload),
      });
    await send({ attachment_id: uploaded.id });
    await send({ url: link });
    await platform.control.whenIdle();
    const records = [...platform.groundTruth.records()];
    const waits = records
      .filter((record) => record.t === 'shown')
      .map(({ m, at }) => at - (records.find((record) => record.t === 'receipt' && record.m === m)?.at ?? 0));
    expect(waits[0]).toBeLessThan(waits[1] ?? 0);
    expect(waits[1]).toBeGreaterThanOrEqual(119);
  });
});
