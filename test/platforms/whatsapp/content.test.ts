import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RoomlineError } from '../../../src/errors.ts';
import { checkContent } from '../../../src/platforms/whatsapp/content.ts';
import { recipientOf, requestOf } from '../../../src/platforms/whatsapp/message.ts';

const TO = '+15550100001';

function complaint(content: object, to = TO): { field: string | undefined; rule: string | undefined } | null {
  try {
    checkContent(to, content as Record<string, unknown>);
  } catch (error) {
    if (!(error instanceof RoomlineError) || error.code !== 'content_invalid') throw error;
    return { field: error.field, rule: error.rule };
  }
  return null;
}

const text = (body: unknown, more: object = {}) => ({ type: 'text', text: { body, ...more } });
const link = 'https://media.example.test/a.jpg';
const interactive = (value: object) => ({ type: 'interactive', interactive: value });
const reply = (id: string, title = 'Yes') => ({ type: 'reply', reply: { id, title } });
const buttons = (...list: object[]) =>
  interactive({ type: 'button', body: { text: 'Well?' }, action: { buttons: list } });
const row = (id: string) => ({ id, title: `Row ${id}` });
const list = (...sections: object[]) =>
  interactive({ type: 'list', body: { text: 'Which?' }, action: { button: 'Choose', sections } });
const template = (value: object) => ({
  type: 'template',
  template: { name: 'order_ready', language: { code: 'en_US' }, ...value },
});

describe('content that is taken', () => {
  it.each<[string, object]>([
    ['a plain text', { text: 'Hello' }],
    ['a text', text('Hello', { preview_url: true })],
    ['the longest text', text('x'.repeat(4_096))],
    ['the longest text of characters that take two units each', text('👋'.repeat(4_096))],
    ['an answer', { ...text('Hello'), context: { message_id: 'wamid.1' } }],
    ['a template', template({})],
    [
      'a template with values',
      template({
        language: { code: 'de', policy: 'deterministic' },
        components: [
          { type: 'body', parameters: [{ type: 'text', text: 'x' }] },
          { type: 'button', sub_type: 'url', index: '0', parameters: [{ type: 'text', text: 'x' }] },
        ],
      }),
    ],
    ['an image by link', { type: 'image', image: { link, caption: 'This' } }],
    ['an image by id', { type: 'image', image: { id: '1234567890' } }],
    ['audio', { type: 'audio', audio: { id: '1' } }],
    ['a voice message', { type: 'audio', audio: { id: '1', voice: true } }],
    ['a video', { type: 'video', video: { link, caption: 'This' } }],
    ['a document', { type: 'document', document: { link, caption: 'This', filename: 'this.pdf' } }],
    ['a sticker', { type: 'sticker', sticker: { id: '1' } }],
    ['a reaction', { type: 'reaction', reaction: { message_id: 'wamid.1', emoji: '👍🏽' } }],
    ['a reaction by a long id', { type: 'reaction', reaction: { message_id: 'x'.repeat(512), emoji: '👍' } }],
    ['a reaction taken back', { type: 'reaction', reaction: { message_id: 'wamid.1', emoji: '' } }],
    ['buttons', buttons(reply('1'), reply('2'), reply('3'))],
    [
      'buttons with a header and a footer',
      interactive({
        type: 'button',
        header: { type: 'image', image: { link } },
        body: { text: 'Well?' },
        footer: { text: 'Soon' },
        action: { buttons: [reply('1')] },
      }),
    ],
    ['a list', list({ rows: [row('1'), { ...row('2'), description: 'x' }] })],
    ['a list of sections', list({ title: 'A', rows: [row('1')] }, { title: 'B', rows: [row('2')] })],
    [
      'a link to open',
      interactive({
        type: 'cta_url',
        header: { type: 'text', text: 'See' },
        body: { text: 'This' },
        action: { name: 'cta_url', parameters: { display_text: 'Open', url: 'http://shop.example.test/1' } },
      }),
    ],
    [
      'a flow, which is passed on',
      interactive({ type: 'flow', body: { text: 'x' }, action: { name: 'flow', parameters: { flow_id: '1' } } }),
    ],
    [
      'a product, which has no text',
      interactive({ type: 'product', action: { catalog_id: '1', product_retailer_id: '2' } }),
    ],
    ['a place', { type: 'location', location: { latitude: 52.5, longitude: 13.4, name: 'Here', address: 'There 1' } }],
    ['contacts', { type: 'contacts', contacts: [{ name: { formatted_name: 'A B', first_name: 'A' }, phones: [] }] }],
    ['a type that is yet to come', { type: 'poll', poll: { question: 'x', options: ['a', 'b'] } }],
    ['a list of a type that is yet to come', { type: 'cards', cards: [{ a: 1 }] }],
  ])('%s', (_what, content) => {
    expect(complaint(content)).toBeNull();
    const body = Buffer.from(JSON.stringify({ to: TO, content }));
    const full = 'text' in content && typeof content.text === 'string' ? text(content.text) : content;
    expect(requestOf('ref-1', body)).toEqual({
      messaging_product: 'whatsapp',
      recipient_type: 'individual',
      to: TO,
      ...full,
      biz_opaque_callback_data: 'ref-1',
    });
  });
});

describe('content that is refused', () => {
  it.each<[string, object, string]>([
    ['nothing', {}, 'content.type'],
    ['a type that is no text', { type: 7, text: {} }, 'content.type'],
    ['a type that is no name', { type: 'Text Message' }, 'content.type'],
    ['a type of ours', { type: 'to', to: { a: 1 } }, 'content.type'],
    ['the context as type', { type: 'context', context: { message_id: 'x' } }, 'content.type'],
    ['the type as type', { type: 'type' }, 'content.type'],
    ['a type of every object', { type: 'constructor' }, 'content.constructor'],
    ['a type without its value', { type: 'image' }, 'content.image'],
    ['an empty plain text', { text: '' }, 'content.text'],
    ['a plain text that is too long', { text: 'x'.repeat(4_097) }, 'content.text'],
    ['a plain text with more', { text: 'x', preview_url: true }, 'content.preview_url'],
    ['a plain text with a type', { type: 'text', text: 'x' }, 'content.type'],
    ['an empty text', text(''), 'content.text.body'],
    ['a text that is too long', text('x'.repeat(4_097)), 'content.text.body'],
    ['a text that is a number', text(7), 'content.text.body'],
    ['no text', { type: 'text', text: {} }, 'content.text.body'],
    ['a text that is a list', { type: 'text', text: ['x'] }, 'content.text'],
    ['a text with more', text('x', { colour: 'red' }), 'content.text.colour'],
    ['a preview that is no flag', text('x', { preview_url: 'yes' }), 'content.text.preview_url'],
    ['two values', { ...text('x'), image: { id: '1' } }, 'content.image'],
    [
      'a reference of the publisher’s',
      { ...text('x'), biz_opaque_callback_data: 'mine' },
      'content.biz_opaque_callback_data',
    ],
    ['a recipient of its own', { ...text('x'), to: '+15550100009' }, 'content.to'],
    ['a product', { ...text('x'), messaging_product: 'whatsapp' }, 'content.messaging_product'],
    ['a kind of recipient', { ...text('x'), recipient_type: 'group' }, 'content.recipient_type'],
    ['a name that cannot be printed', { ...text('x'), 'a\nb': 1 }, 'content.a?b'],
    ['a context without an id', { ...text('x'), context: {} }, 'content.context.message_id'],
    ['a context that is a text', { ...text('x'), context: 'wamid.1' }, 'content.context'],
    ['a template without a name', template({ name: undefined }), 'content.template.name'],
    ['a template with a name that is none', template({ name: 'Order Ready' }), 'content.template.name'],
    ['a template without a language', template({ language: undefined }), 'content.template.language'],
    ['a template whose language is a text', template({ language: 'en' }), 'content.template.language'],
    [
      'a template with another policy',
      template({ language: { code: 'en', policy: 'x' } }),
      'content.template.language.policy',
    ],
    ['components that are no list', template({ components: {} }), 'content.template.components'],
    ['a component without a type', template({ components: [{}] }), 'content.template.components[0].type'],
    ['media without a source', { type: 'image', image: { caption: 'x' } }, 'content.image'],
    ['media with two sources', { type: 'image', image: { id: '1', link } }, 'content.image'],
    ['media over http', { type: 'image', image: { link: 'http://media.example.test/a' } }, 'content.image.link'],
    ['media from a file', { type: 'image', image: { link: 'file:///etc/passwd' } }, 'content.image.link'],
    ['a link that is none', { type: 'image', image: { link: 'here' } }, 'content.image.link'],
    [
      'a link that is too long',
      { type: 'image', image: { link: `${link}?${'x'.repeat(2_048)}` } },
      'content.image.link',
    ],
    ['an id that is none', { type: 'image', image: { id: '../me' } }, 'content.image.id'],
    [
      'a caption that is too long',
      { type: 'video', video: { link, caption: 'x'.repeat(1_025) } },
      'content.video.caption',
    ],
    ['a caption for audio', { type: 'audio', audio: { link, caption: 'x' } }, 'content.audio.caption'],
    ['a caption for a sticker', { type: 'sticker', sticker: { id: '1', caption: 'x' } }, 'content.sticker.caption'],
    [
      'a file name that is too long',
      { type: 'document', document: { link, filename: 'x'.repeat(241) } },
      'content.document.filename',
    ],
    ['a reaction to nothing', { type: 'reaction', reaction: { emoji: '👍' } }, 'content.reaction.message_id'],
    [
      'a reaction without an emoji',
      { type: 'reaction', reaction: { message_id: 'wamid.1' } },
      'content.reaction.emoji',
    ],
    ['interactive without a type', interactive({ action: { a: 1 } }), 'content.interactive.type'],
    ['interactive that is a text', { type: 'interactive', interactive: 'x' }, 'content.interactive'],
    [
      'interactive without an action',
      interactive({ type: 'button', body: { text: 'x' } }),
      'content.interactive.action',
    ],
    ['another kind without an action', interactive({ type: 'flow', action: {} }), 'content.interactive.action'],
    [
      'buttons without a text',
      interactive({ type: 'button', action: { buttons: [reply('1')] } }),
      'content.interactive.body',
    ],
    ['no buttons', buttons(), 'content.interactive.action.buttons'],
    ['four buttons', buttons(reply('1'), reply('2'), reply('3'), reply('4')), 'content.interactive.action.buttons'],
    ['a button that is no reply', buttons({ type: 'url' }), 'content.interactive.action.buttons[0].type'],
    [
      'a button with a long title',
      buttons(reply('1', 'x'.repeat(21))),
      'content.interactive.action.buttons[0].reply.title',
    ],
    ['a button with a long id', buttons(reply('x'.repeat(257))), 'content.interactive.action.buttons[0].reply.id'],
    ['a list without sections', list(), 'content.interactive.action.sections'],
    ['a section without rows', list({ rows: [] }), 'content.interactive.action.sections[0].rows'],
    [
      'more than ten rows together',
      list({ title: 'A', rows: '123456'.split('').map(row) }, { title: 'B', rows: 'abcde'.split('').map(row) }),
      'content.interactive.action.sections',
    ],
    [
      'sections without titles',
      list({ title: 'A', rows: [row('1')] }, { rows: [row('2')] }),
      'content.interactive.action.sections[1].title',
    ],
    [
      'a row with a long description',
      list({ rows: [{ ...row('1'), description: 'x'.repeat(73) }] }),
      'content.interactive.action.sections[0].rows[0].description',
    ],
    [
      'a header that is too long',
      interactive({
        type: 'button',
        header: { type: 'text', text: 'x'.repeat(61) },
        body: { text: 'x' },
        action: { buttons: [reply('1')] },
      }),
      'content.interactive.header.text',
    ],
    [
      'a link that opens a script',
      interactive({
        type: 'cta_url',
        body: { text: 'x' },
        action: { name: 'cta_url', parameters: { display_text: 'x', url: 'javascript:alert(1)' } },
      }),
      'content.interactive.action.parameters.url',
    ],
    ['a place nowhere', { type: 'location', location: { latitude: 91, longitude: 0 } }, 'content.location.latitude'],
    ['a place that is half known', { type: 'location', location: { latitude: 1 } }, 'content.location.longitude'],
    ['no contacts', { type: 'contacts', contacts: [] }, 'content.contacts'],
    ['a contact without a name', { type: 'contacts', contacts: [{ phones: [] }] }, 'content.contacts[0].name'],
    ['a new type that is a text', { type: 'poll', poll: 'x' }, 'content.poll'],
    ['a new type that is empty', { type: 'poll', poll: {} }, 'content.poll'],
    ['a new type that is an empty list', { type: 'poll', poll: [] }, 'content.poll'],
    ['a new type that is a list of texts', { type: 'poll', poll: ['x'] }, 'content.poll[0]'],
  ])('%s: the complaint names the field', (_what, content, field) => {
    const found = complaint(content);
    expect(found?.field).toBe(field);
    expect(found?.rule).toMatch(/\S/);
  });
});

describe('a recipient', () => {
  it.each<[string, object]>([
    ['+15550100001', { to: '+15550100001' }],
    ['15550100001', { to: '+15550100001' }],
    ['+491234567890123', { to: '+491234567890123' }],
    ['US.13491208655302741918', { recipient: 'US.13491208655302741918' }],
    ['US.ENT.11815799212886844830', { recipient: 'US.ENT.11815799212886844830' }],
  ])('%s', (to, member) => {
    expect(recipientOf(to)).toEqual(member);
    expect(complaint({ text: 'x' }, to)).toBeNull();
    expect(requestOf('r', Buffer.from(JSON.stringify({ to, content: { text: 'x' } })))).toMatchObject(member);
  });

  it.each([
    ...['', '+', 'alice', '+1 555 0100', '0049123456789', '+0123456789', '+1234', '+1234567890123456', '++15550100001'],
    ...['us.1349', 'US.', 'USA.1', 'US.1 2', '15550100001@s.whatsapp.net', '+１５５５０１００００１'],
  ])('cannot be %j', (to) => {
    expect(recipientOf(to)).toBeNull();
    expect(complaint({ text: 'x' }, to)).toEqual({ field: 'to', rule: expect.stringContaining('+15550100001') });
    expect(requestOf('r', Buffer.from(JSON.stringify({ to, content: { text: 'x' } })))).toBeNull();
  });
});

describe('what may reach the platform', () => {
  const names = [
    'type',
    'text',
    'image',
    'to',
    'recipient',
    'messaging_product',
    'biz_opaque_callback_data',
    'context',
    'x',
  ];

  it('is checked without any other error, and what passes can be sent with our recipient and reference', () => {
    const contents = fc.dictionary(
      fc.constantFrom(...names),
      fc.oneof(
        fc.constantFrom('text', 'image', 'x', 'context'),
        fc.jsonValue(),
        fc.constant({ body: 'x' }),
        fc.constant({ id: '1' }),
      ),
    );
    fc.assert(
      fc.property(contents, fc.oneof(fc.constant(TO), fc.string()), (content, to) => {
        const request = requestOf('ours', Buffer.from(JSON.stringify({ to, content })));
        if (complaint(content, to) === null) expect(request).not.toBeNull();
        if (request === null) return;
        expect(request).toMatchObject({
          messaging_product: 'whatsapp',
          biz_opaque_callback_data: 'ours',
          ...recipientOf(to),
        });
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([
    '',
    'x',
    '[]',
    'null',
    '{}',
    '{"to":"+15550100001"}',
    '{"to":7,"content":{"text":"x"}}',
    '{"to":"+15550100001","content":[]}',
  ])('is nothing for a stored body that is %j', (body) => {
    expect(requestOf('r', Buffer.from(body))).toBeNull();
  });
});
