import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RoomlineError } from '../../../src/errors.ts';
import { createContentCheck } from '../../../src/platforms/vonage/content.ts';
import { requestOf, type VonageChannel } from '../../../src/platforms/vonage/message.ts';
import { FROM, REFERENCE, TO } from './support.ts';

function faultOf(channel: VonageChannel, content: Record<string, unknown>, to = TO): string | undefined {
  try {
    createContentCheck(channel)(to, content);
    return undefined;
  } catch (error) {
    expect(error).toMatchObject({ code: 'content_invalid' });
    return (error as RoomlineError).field;
  }
}

const url = 'https://m.example/1.jpg';

describe('content', () => {
  it.each([
    ['sms', 1_000],
    ['mms', 1_000],
    ['rcs', 3_072],
    ['whatsapp', 4_096],
    ['messenger', 640],
    ['viber_service', 1_000],
  ] as const)('on %s is a text of up to %i characters, in full or in short', (channel, most) => {
    for (const text of ['x', '👋'.repeat(most)]) {
      expect(faultOf(channel, { text })).toBeUndefined();
      expect(faultOf(channel, { message_type: 'text', text })).toBeUndefined();
    }
    for (const text of ['', '👋'.repeat(most + 1), 7, null]) expect(faultOf(channel, { text })).toBe('content.text');
  });

  it.each<[string, VonageChannel, Record<string, unknown>]>([
    ['a picture', 'whatsapp', { message_type: 'image', image: { url, caption: 'x' } }],
    ['a video with its still', 'viber_service', { message_type: 'video', video: { url, thumb_url: url } }],
    ['a card of contacts', 'mms', { message_type: 'vcard', vcard: { url } }],
    ['a template', 'whatsapp', { message_type: 'template', template: { name: 'a:b', parameters: ['', 'x'] } }],
    ['a sticker', 'whatsapp', { message_type: 'sticker', sticker: { id: 'x' } }],
    ['something of the channel’s own', 'whatsapp', { message_type: 'custom', custom: { type: 'location' } }],
    ['what we do not know', 'rcs', { message_type: 'carousel', carousel: { cards: [1] } }],
    ['suggestions', 'rcs', { text: 'x', suggestions: [{ type: 'reply', text: 'y', postback_data: 'z' }] }],
    [
      'a section of the channel',
      'sms',
      { text: 'x', sms: { encoding_type: 'auto' }, ttl: 300, trusted_recipient: true },
    ],
  ])('may be %s', (_name, channel, content) => expect(faultOf(channel, content)).toBeUndefined());

  it.each<[string, VonageChannel, Record<string, unknown>, string]>([
    ['nothing', 'sms', {}, 'content.text'],
    ['a picture by SMS', 'sms', { message_type: 'image', image: { url } }, 'content.message_type'],
    ['a type that is a place', 'sms', { message_type: 'to', to: {} }, 'content.message_type'],
    ['a type that is an option', 'rcs', { message_type: 'ttl', ttl: {} }, 'content.message_type'],
    ['a type that is a channel', 'whatsapp', { message_type: 'whatsapp', whatsapp: { a: 1 } }, 'content.message_type'],
    ['a type of another kind', 'rcs', { message_type: 7 }, 'content.message_type'],
    ['a type without its value', 'rcs', { message_type: 'image' }, 'content.image'],
    ['a picture without an address', 'rcs', { message_type: 'image', image: {} }, 'content.image.url'],
    ['a picture in the clear', 'rcs', { message_type: 'image', image: { url: 'http://m/1' } }, 'content.image.url'],
    ['a picture with more', 'rcs', { message_type: 'image', image: { url, size: 1 } }, 'content.image.size'],
    ['a template without a name', 'whatsapp', { message_type: 'template', template: {} }, 'content.template.name'],
    ['two stickers', 'whatsapp', { message_type: 'sticker', sticker: { id: 'x', url } }, 'content.sticker'],
    ['an empty unknown', 'rcs', { message_type: 'card', card: {} }, 'content.card'],
    ['another recipient', 'sms', { text: 'x', to: '15550109999' }, 'content.to'],
    ['another reference', 'sms', { text: 'x', client_ref: 'x' }, 'content.client_ref'],
    ['another address', 'sms', { text: 'x', webhook_url: url }, 'content.webhook_url'],
    ['what is sent instead', 'rcs', { text: 'x', failover: [{}] }, 'content.failover'],
    ['another channel’s section', 'sms', { text: 'x', whatsapp: { a: 1 } }, 'content.whatsapp'],
    ['half a second', 'sms', { text: 'x', ttl: 0.5 }, 'content.ttl'],
    ['something unknown', 'sms', { text: 'x', body: 'y' }, 'content.body'],
  ])('may not be %s', (_name, channel, content, field) => expect(faultOf(channel, content)).toBe(field));

  it.each<[string, VonageChannel, boolean]>([
    ['15550100001', 'sms', true],
    ['+15550100001', 'sms', true],
    ['015550100001', 'sms', false],
    ['alice', 'whatsapp', false],
    ['', 'sms', false],
    ['1234567890123456', 'sms', false],
    ['6100000000000001', 'messenger', true],
    ['+15550100001', 'messenger', false],
  ])('to %s on %s: %s', (to, channel, valid) => {
    expect(faultOf(channel, { text: 'x' }, to)).toBe(valid ? undefined : 'to');
  });

  it('that passes can be sent, whatever it is', () => {
    const value = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom('text', 'image', 'custom', 'template', { url }, { name: 'x' }, { a: 1 }, 300, true),
      fc.jsonValue(),
    );
    const name = fc.constantFrom('message_type', 'text', 'image', 'custom', 'template', 'ttl', 'whatsapp', 'to');
    fc.assert(
      fc.property(fc.dictionary(name, value, { maxKeys: 3 }), (content) => {
        try {
          createContentCheck('whatsapp')(TO, content);
        } catch (error) {
          expect(error).toBeInstanceOf(RoomlineError);
          return;
        }
        const body = Buffer.from(JSON.stringify({ to: TO, content }));
        const sending = { channel: 'whatsapp', from: FROM, webhookUrl: null, reference: REFERENCE } as const;
        expect(requestOf(sending, body)).toMatchObject({ to: TO, from: FROM, client_ref: REFERENCE });
      }),
      { numRuns: 500 },
    );
  });
});
