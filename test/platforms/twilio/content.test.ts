import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RoomlineError } from '../../../src/errors.ts';
import { createContentCheck, PARAMETERS } from '../../../src/platforms/twilio/content.ts';
import { formOf } from '../../../src/platforms/twilio/message.ts';
import { FROM, REFERENCE, SERVICE, TEMPLATE, TO, WEBHOOK } from './support.ts';

const check = createContentCheck(FROM);

function faultOf(content: Record<string, unknown>, to = TO, from = FROM): string | undefined {
  try {
    createContentCheck(from)(to, content);
    return undefined;
  } catch (error) {
    expect(error).toMatchObject({ code: 'content_invalid' });
    return (error as RoomlineError).field;
  }
}

describe('content', () => {
  it.each<[string, Record<string, unknown>]>([
    ['a short text', { text: 'x' }],
    ['a body of 1600 characters, each of two units', { Body: '👋'.repeat(1_600) }],
    ['one picture', { MediaUrl: 'https://m.example/1.jpg' }],
    ['ten pictures', { MediaUrl: Array.from({ length: 10 }, () => 'https://m.example/1.jpg') }],
    ['a template', { ContentSid: TEMPLATE, ContentVariables: { 1: 'a' } }],
    ['a template with variables as JSON', { ContentSid: TEMPLATE, ContentVariables: '{"1":"a"}' }],
    ['options that are passed on', { Body: 'x', SmartEncoded: true, RiskCheck: 'disable', MaxPrice: 0.5 }],
    ['a place', { Body: 'x', PersistentAction: ['geo:1,2|label'] }],
  ])('may be %s', (_name, content) => expect(faultOf(content)).toBeUndefined());

  it.each<[string, Record<string, unknown>, string]>([
    ['nothing', {}, 'content'],
    ['an empty text', { text: '' }, 'content.text'],
    ['a text that is too long', { text: 'x'.repeat(1_601) }, 'content.text'],
    ['a text and more', { text: 'x', Body: 'y' }, 'content.Body'],
    ['a body that is no text', { Body: 7 }, 'content.Body'],
    ['a body that is too long', { Body: '👋'.repeat(1_601) }, 'content.Body'],
    ['no pictures', { MediaUrl: [] }, 'content.MediaUrl'],
    ['eleven pictures', { MediaUrl: Array.from({ length: 11 }, () => 'https://m.example/1') }, 'content.MediaUrl'],
    ['a picture in the clear', { MediaUrl: ['http://m.example/1'] }, 'content.MediaUrl[0]'],
    ['a wrong template', { ContentSid: 'HX1' }, 'content.ContentSid'],
    ['variables without a template', { Body: 'x', ContentVariables: {} }, 'content.ContentVariables'],
    ['variables that are no texts', { ContentSid: TEMPLATE, ContentVariables: { 1: 1 } }, 'content.ContentVariables'],
    ['variables that are no JSON', { ContentSid: TEMPLATE, ContentVariables: '{' }, 'content.ContentVariables'],
    ['half a second', { Body: 'x', ValidityPeriod: 0.5 }, 'content.ValidityPeriod'],
    ['more than ten hours', { Body: 'x', ValidityPeriod: 36_001 }, 'content.ValidityPeriod'],
    ['another recipient', { Body: 'x', To: '+15550109999' }, 'content.To'],
    ['another sender', { Body: 'x', From: '+15550109999' }, 'content.From'],
    ['another callback', { Body: 'x', StatusCallback: 'https://x.example' }, 'content.StatusCallback'],
    ['a time of Twilio’s', { Body: 'x', SendAt: '2027-01-01T00:00:00Z' }, 'content.SendAt'],
    ['something unknown', { Body: 'x', body: 'y' }, 'content.body'],
  ])('may not be %s', (_name, content, field) => expect(faultOf(content)).toBe(field));

  it.each([
    ['+15550100001', FROM, undefined],
    ['15550100001', FROM, undefined],
    ['+0123456', FROM, 'to'],
    ['alice', FROM, 'to'],
    ['', FROM, 'to'],
    ['+1555010000100000', FROM, 'to'],
    ['whatsapp:+15550100001', FROM, 'to'],
    ['whatsapp:+15550100001', SERVICE, undefined],
    ['whatsapp:+15550100001', 'whatsapp:+15550100002', undefined],
    ['+15550100001', 'whatsapp:+15550100002', undefined],
  ])('to %s from %s: fault in %s', (to, from, field) => expect(faultOf({ text: 'x' }, to, from)).toBe(field));

  it('that passes can be sent, whatever it is', () => {
    const value = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom('https://m.example/1', TEMPLATE, '{}', true, 5, null, {}, ['https://m.example/1']),
      fc.jsonValue(),
    );
    const name = fc.constantFrom('text', 'To', ...Object.keys(PARAMETERS));
    fc.assert(
      fc.property(fc.dictionary(name, value, { maxKeys: 3 }), (content) => {
        try {
          check(TO, content);
        } catch (error) {
          expect(error).toBeInstanceOf(RoomlineError);
          return;
        }
        const body = Buffer.from(JSON.stringify({ to: TO, content }));
        expect(formOf({ from: FROM, webhookUrl: WEBHOOK, reference: REFERENCE }, body)).not.toBeNull();
      }),
      { numRuns: 500 },
    );
  });
});
