import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RoomlineError } from '../../../src/errors.ts';
import { open, PERSON, type Product, request } from './support.ts';

type Content = Record<string, unknown>;

function check(product: Product, content: unknown, to = PERSON): string | null {
  try {
    open(product).checkContent?.(to, content as Content);
    return null;
  } catch (error) {
    if (!(error instanceof RoomlineError) || error.code !== 'content_invalid') throw error;
    expect(error.rule).toEqual(expect.any(String));
    return String(error.field);
  }
}

const url = 'https://media.example.test/a.jpg';
const image = { type: 'image', payload: { url } };
const reply = { content_type: 'text', title: 'Yes', payload: 'YES' };
const buttons = [{ type: 'postback', title: 'Yes', payload: 'YES' }];
const buttonTemplate = { template_type: 'button', text: 'Well?', buttons };

const BOTH: [string, Content][] = [
  ['the short form', { text: 'Hello' }],
  ['a text in full', { message: { text: 'Hello' } }],
  ['a text with an answer to give', { message: { text: 'Well?', quick_replies: [reply] } }],
  ['answers from the profile', { message: { text: 'Mail?', quick_replies: [{ content_type: 'user_email' }] } }],
  ['an answer with a picture', { message: { text: '?', quick_replies: [{ ...reply, image_url: url }] } }],
  ['a picture', { message: { attachment: image } }],
  ['a reusable picture', { message: { attachment: { type: 'image', payload: { url, is_reusable: true } } } }],
  ['what was uploaded', { message: { attachment: { type: 'video', payload: { attachment_id: '1857777774821032' } } } }],
  ['a file', { message: { attachment: { type: 'file', payload: { url } } } }],
  ['sound', { message: { attachment: { type: 'audio', payload: { url } } } }],
  ['several pictures', { message: { attachments: [image, image] } }],
  ['buttons', { message: { attachment: { type: 'template', payload: buttonTemplate } } }],
  [
    'cards',
    {
      message: {
        attachment: {
          type: 'template',
          payload: { template_type: 'generic', elements: [{ title: 'A', subtitle: 'B', image_url: url, buttons }] },
        },
      },
    },
  ],
  [
    'a template that is passed on',
    { message: { attachment: { type: 'template', payload: { template_type: 'receipt', order_number: '7' } } } },
  ],
  ['an update', { messaging_type: 'UPDATE', message: { text: 'Hello' } }],
  ['a tag', { messaging_type: 'MESSAGE_TAG', tag: 'HUMAN_AGENT', message: { text: 'Hello' } }],
  ['an answer to a message', { message: { text: 'Hello' }, reply_to: { mid: 'm_1' } }],
];

const ONE: [Product, string, Content][] = [
  ['messenger', '2000 characters, however many bytes', { text: '👋'.repeat(2_000) }],
  ['messenger', 'a silent message', { message: { text: 'Hello' }, notification_type: 'SILENT_PUSH' }],
  ['messenger', 'a persona', { message: { text: 'Hello' }, persona_id: '7' }],
  ['messenger', 'another tag', { messaging_type: 'MESSAGE_TAG', tag: 'ACCOUNT_UPDATE', message: { text: 'x' } }],
  [
    'messenger',
    'a utility message',
    { messaging_type: 'UTILITY', message: { template: { name: 'a_b', language: {} } } },
  ],
  ['messenger', '30 pictures', { message: { attachments: Array(30).fill(image) } }],
  ['instagram', '1000 bytes', { text: 'é'.repeat(500) }],
  ['instagram', '10 pictures', { message: { attachments: Array(10).fill(image) } }],
  ['instagram', 'a heart', { message: { attachment: { type: 'like_heart' } } }],
  ['instagram', 'a post', { message: { attachment: { type: 'MEDIA_SHARE', payload: { id: '17895695668004550' } } } }],
];

const REFUSED: [string, unknown, string][] = [
  ['nothing', {}, 'content.message'],
  ['an empty text', { text: '' }, 'content.text'],
  ['white space', { text: ' \n ' }, 'content.text'],
  ['a text that is a number', { text: 7 }, 'content.text'],
  ['a short form with more', { text: 'Hello', quick_replies: [reply] }, 'content.quick_replies'],
  ['a recipient of its own', { message: { text: 'x' }, recipient: { id: '1' } }, 'content.recipient'],
  ['a reference of its own', { message: { text: 'x', metadata: 'x' } }, 'content.message.metadata'],
  ['a token', { message: { text: 'x' }, access_token: 'x' }, 'content.access_token'],
  ['an empty message', { message: {} }, 'content.message'],
  ['a message that is none', { message: 'Hello' }, 'content.message'],
  ['only answers to give', { message: { quick_replies: [reply] } }, 'content.message'],
  ['two bodies', { message: { text: 'x', attachment: image } }, 'content.message'],
  ['a member that nobody knows', { message: { text: 'x', colour: 'red' } }, 'content.message.colour'],
  ['a member with an odd name', { message: { text: 'x', 'a b\n': 1 } }, 'content.message.a?b?'],
  ['an unknown kind of message', { messaging_type: 'NEWS', message: { text: 'x' } }, 'content.messaging_type'],
  ['a tag without its type', { tag: 'HUMAN_AGENT', message: { text: 'x' } }, 'content.tag'],
  ['a type without its tag', { messaging_type: 'MESSAGE_TAG', message: { text: 'x' } }, 'content.tag'],
  ['a tag that is none', { messaging_type: 'MESSAGE_TAG', tag: 'x y', message: { text: 'x' } }, 'content.tag'],
  ['an attachment that is none', { message: { attachment: 'x' } }, 'content.message.attachment'],
  [
    'an unknown attachment',
    { message: { attachment: { type: 'poll', payload: {} } } },
    'content.message.attachment.type',
  ],
  [
    'an attachment with an inherited name',
    { message: { attachment: { type: 'toString', payload: {} } } },
    'content.message.attachment.type',
  ],
  [
    'an attachment without a source',
    { message: { attachment: { type: 'image' } } },
    'content.message.attachment.payload',
  ],
  [
    'two sources',
    { message: { attachment: { type: 'image', payload: { url, attachment_id: '1' } } } },
    'content.message.attachment.payload',
  ],
  [
    'an address without TLS',
    { message: { attachment: { type: 'image', payload: { url: url.replace('https', 'http') } } } },
    'content.message.attachment.payload.url',
  ],
  ['no pictures', { message: { attachments: [] } }, 'content.message.attachments'],
  [
    'a film among pictures',
    { message: { attachments: [image, { type: 'video', payload: { url } }] } },
    'content.message.attachments[1].type',
  ],
  [
    'a template without a type',
    { message: { attachment: { type: 'template', payload: { elements: [] } } } },
    'content.message.attachment.payload.template_type',
  ],
  [
    'four buttons',
    {
      message: {
        attachment: { type: 'template', payload: { ...buttonTemplate, buttons: [1, 2, 3, 4].map(() => buttons[0]) } },
      },
    },
    'content.message.attachment.payload.buttons',
  ],
  [
    'a card without a title',
    { message: { attachment: { type: 'template', payload: { template_type: 'generic', elements: [{}] } } } },
    'content.message.attachment.payload.elements[0].title',
  ],
  [
    'a card with a long subtitle',
    {
      message: {
        attachment: {
          type: 'template',
          payload: { template_type: 'generic', elements: [{ title: 'x', subtitle: 'x'.repeat(81) }] },
        },
      },
    },
    'content.message.attachment.payload.elements[0].subtitle',
  ],
  ['14 answers', { message: { text: 'x', quick_replies: Array(14).fill(reply) } }, 'content.message.quick_replies'],
  [
    'an answer with a long title',
    { message: { text: 'x', quick_replies: [{ ...reply, title: 'x'.repeat(21) }] } },
    'content.message.quick_replies[0].title',
  ],
  [
    'an answer of an unknown kind',
    { message: { text: 'x', quick_replies: [{ content_type: 'location' }] } },
    'content.message.quick_replies[0].content_type',
  ],
  ['an answer to nothing', { message: { text: 'x' }, reply_to: {} }, 'content.reply_to.mid'],
];

const REFUSED_BY_ONE: [Product, string, Content, string][] = [
  ['messenger', '2001 characters', { text: 'x'.repeat(2_001) }, 'content.text'],
  ['messenger', '31 pictures', { message: { attachments: Array(31).fill(image) } }, 'content.message.attachments'],
  ['messenger', 'a heart', { message: { attachment: { type: 'like_heart' } } }, 'content.message.attachment.type'],
  ['messenger', 'a loud message', { message: { text: 'x' }, notification_type: 'LOUD' }, 'content.notification_type'],
  [
    'messenger',
    'a utility message without a name',
    { messaging_type: 'UTILITY', message: { template: {} } },
    'content.message.template.name',
  ],
  ['instagram', '1001 bytes', { text: `x${'é'.repeat(500)}` }, 'content.text'],
  ['instagram', '1001 bytes in full', { message: { text: 'x'.repeat(1_001) } }, 'content.message.text'],
  ['instagram', '11 pictures', { message: { attachments: Array(11).fill(image) } }, 'content.message.attachments'],
  [
    'instagram',
    'a silent message',
    { message: { text: 'x' }, notification_type: 'NO_PUSH' },
    'content.notification_type',
  ],
  ['instagram', 'a utility message', { messaging_type: 'UTILITY', message: { text: 'x' } }, 'content.messaging_type'],
  [
    'instagram',
    'a tag that is Messenger’s alone',
    { messaging_type: 'MESSAGE_TAG', tag: 'ACCOUNT_UPDATE', message: { text: 'x' } },
    'content.tag',
  ],
  [
    'instagram',
    'a heart of a kind',
    { message: { attachment: { type: 'like_heart', payload: {} } } },
    'content.message.attachment.payload',
  ],
  [
    'instagram',
    'a post without an id',
    { message: { attachment: { type: 'MEDIA_SHARE', payload: {} } } },
    'content.message.attachment.payload.id',
  ],
];

const PRODUCTS: Product[] = ['messenger', 'instagram'];

describe('content that is taken', () => {
  it.each(BOTH)('%s', (_what, content) => {
    for (const product of PRODUCTS) expect(check(product, content)).toBeNull();
  });

  it.each(ONE)('by %s: %s', (product, _what, content) => {
    expect(check(product, content)).toBeNull();
  });
});

describe('content that is refused', () => {
  it.each(REFUSED)('%s', (_what, content, field) => {
    for (const product of PRODUCTS) expect(check(product, content)).toBe(field);
  });

  it.each(REFUSED_BY_ONE)('by %s: %s', (product, _what, content, field) => {
    expect(check(product, content)).toBe(field);
  });

  it.each(['', 'alice', '+15550100001', '1 2', '١٢٣', '1'.repeat(33), '6100000000000001\n'])(
    'for the recipient %j',
    (to) => {
      for (const product of PRODUCTS) expect(check(product, { text: 'Hello' }, to)).toBe('to');
    },
  );
});

it('whatever the check takes can be sent, and anything else gives a coded refusal', async () => {
  const value = fc.jsonValue({ maxDepth: 3 });
  const members = fc.record(
    {
      text: fc.oneof(value, fc.string()),
      message: fc.oneof(value, fc.record({ text: fc.string(), attachment: value }, { requiredKeys: [] })),
      messaging_type: fc.constantFrom('RESPONSE', 'UPDATE', 'MESSAGE_TAG', 7),
      tag: fc.constantFrom('HUMAN_AGENT', 7),
    },
    { requiredKeys: [] },
  );
  const channels = PRODUCTS.map((product) => open(product));
  await fc.assert(
    fc.asyncProperty(fc.oneof(members, fc.dictionary(fc.string(), value)), async (content) => {
      for (const channel of channels) {
        let taken = true;
        try {
          channel.checkContent?.(PERSON, content as Content);
        } catch (error) {
          taken = false;
          expect(error).toBeInstanceOf(RoomlineError);
        }
        if (!taken) continue;
        // Nobody listens: what could be made into a request does not get through.
        expect(await channel.send(request(content))).toMatchObject({ nack: { code: 'connect_refused' } });
      }
    }),
    { numRuns: 150 },
  );
});
