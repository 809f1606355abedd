import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { WebhookCall } from '../../../src/engine/ports.ts';
import { RoomlineError } from '../../../src/errors.ts';
import { open, PREVIOUS, revealable, SECRET } from './support.ts';

const HEADER = 'x-telegram-bot-api-secret-token';

function call(raw: string | Uint8Array, headers: WebhookCall['headers'] = {}): WebhookCall {
  return { method: 'POST', target: '/v1/webhooks/default/bot', headers, raw: Buffer.from(raw) };
}

const read = (update: unknown) => open('http://127.0.0.1:1').readStatuses(call(JSON.stringify(update)));

const KINDS = [
  'message',
  'edited_message',
  'channel_post',
  'edited_channel_post',
  'business_connection',
  'business_message',
  'edited_business_message',
  'deleted_business_messages',
  'message_reaction',
  'message_reaction_count',
  'inline_query',
  'chosen_inline_result',
  'callback_query',
  'shipping_query',
  'pre_checkout_query',
  'purchased_paid_media',
  'poll',
  'poll_answer',
  'my_chat_member',
  'chat_member',
  'chat_join_request',
  'chat_boost',
  'removed_chat_boost',
];

describe('an update', () => {
  it.each(KINDS)('that is a %s says nothing of our messages', (kind) => {
    expect(read({ update_id: 1, [kind]: { id: 1 } })).toEqual([{ kind: 'other', code: kind }]);
  });

  it.each<[string, object]>([
    ['of a kind of tomorrow', { update_id: 1, reaction_to_a_hologram: {} }],
    ['of no kind', { update_id: 1 }],
    ['whose message is none', { update_id: 1, message: 'hello' }],
    ['with names of Object.prototype', { update_id: 1, constructor: {}, toString: {} }],
  ])('%s is counted without its name', (_what, update) => {
    expect(read(update)).toEqual([{ kind: 'other', code: 'update_unknown' }]);
  });

  it.each<[string, object]>([
    ['no id', { message: {} }],
    ['an id that is a text', { update_id: '1', message: {} }],
    ['an id that is no whole number', { update_id: 1.5, message: {} }],
  ])('with %s cannot be read, and is no error', (_what, update) => {
    expect(read(update)).toEqual([{ kind: 'unreadable', code: 'update_unnamed' }]);
  });

  it.each<[string, string | Buffer, string]>([
    ['nothing', '', 'body_malformed_json'],
    ['no JSON', 'hello', 'body_malformed_json'],
    ['no UTF-8', Buffer.from([0xff, 0xfe]), 'body_not_utf8'],
    ['a list', '[]', 'field_type'],
    ['null', 'null', 'field_type'],
  ])('that is %s is refused with a code', (_what, raw, code) => {
    const channel = open('http://127.0.0.1:1');
    expect(() => channel.readStatuses(call(raw))).toThrow(expect.objectContaining({ code }));
  });

  it('gives items or a coded error, whatever its bytes', () => {
    const channel = open('http://127.0.0.1:1');
    const update = fc.dictionary(fc.constantFrom('update_id', '__proto__', ...KINDS), fc.jsonValue());
    const raw = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.json().map((text) => Buffer.from(text)),
      update.map((value) => Buffer.from(JSON.stringify(value))),
    );
    fc.assert(
      fc.property(raw, (bytes) => {
        try {
          const [item, ...more] = channel.readStatuses(call(bytes));
          expect(more).toEqual([]);
          expect(['other', 'unreadable']).toContain(item?.kind);
        } catch (error) {
          expect(error).toBeInstanceOf(RoomlineError);
        }
      }),
    );
  });
});

describe('the secret token', () => {
  const channel = () => open('http://127.0.0.1:1');
  const verify = (token: string | string[] | undefined) => channel().verify(call('{}', { [HEADER]: token }), 0);

  it.each([SECRET, PREVIOUS])('is any of those configured: %s', (token) => {
    expect(verify(token)).toEqual({ kind: 'verified' });
  });

  it.each<[string, string | string[] | undefined]>([
    ['missing', undefined],
    ['empty', ''],
    ['wrong', 'wrong'],
    ['in other letters', SECRET.toUpperCase()],
    ['cut short', SECRET.slice(0, -1)],
    ['too long', `${SECRET}x`],
    ['both together', `${SECRET}, ${PREVIOUS}`],
    ['given twice', [SECRET, SECRET]],
  ])('is refused where it is %s', (_what, token) => {
    expect(verify(token)).toEqual({ kind: 'refused', code: 'signature_invalid' });
  });

  it('is not asked of the body: nothing signs it', () => {
    const { verify: check } = channel();
    expect(check(call('anything', { [HEADER]: SECRET }), 0)).toEqual({ kind: 'verified' });
  });

  it('is refused where no secret is known', () => {
    const without = open('http://127.0.0.1:1', { webhookSecrets: [] });
    for (const headers of [{}, { [HEADER]: '' }, { [HEADER]: 'x' }]) {
      expect(without.verify(call('{}', headers), 0).kind).toBe('refused');
    }
  });

  it('is compared whole, up to 256 characters', () => {
    const long = 'x'.repeat(256);
    const other = open('http://127.0.0.1:1', { webhookSecrets: [revealable(long)] });
    expect(other.verify(call('{}', { [HEADER]: long }), 0).kind).toBe('verified');
    expect(other.verify(call('{}', { [HEADER]: `${'x'.repeat(255)}y` }), 0).kind).toBe('refused');
  });
});
