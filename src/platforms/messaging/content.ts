/** What a publisher may ask for: the Send API's body without what Roomline adds to it. */
import { type Fields, isFields, MAX_ID_LENGTH } from '../fields.ts';
import { broken, checkMembers, flag, httpsLink, listOf, matching, object, type Rule, text } from '../rules.ts';
import { isRecipient } from './message.ts';

/** Where Messenger and Instagram differ. */
export interface ContentRules {
  readonly text: Rule;
  /** What `messaging_type` may be. */
  readonly types: readonly string[];
  readonly tag: Rule;
  /** By the type of the attachment; what is not here is refused. */
  readonly attachments: Readonly<Record<string, Rule>>;
  /** How many pictures one message may hold. */
  readonly maxImages: number;
  /** Further members of the body and of the message. */
  readonly options: Readonly<Record<string, Rule>>;
  readonly bodies: Readonly<Record<string, Rule>>;
}

export function maxCharacters(max: number): Rule {
  const fits = text(max);
  return (field, value) => {
    fits(field, value);
    notBlank(field, value as string);
  };
}

export function maxBytes(max: number): Rule {
  return (field, value) => {
    // A UTF-16 unit is at least a byte.
    const fits = typeof value === 'string' && value.length <= max && Buffer.byteLength(value) <= max;
    if (!fits) broken(field, `a text of at most ${max} bytes in UTF-8`);
    notBlank(field, value);
  };
}

function notBlank(field: string, value: string): void {
  if (value.trim() === '') broken(field, 'a text that is not blank');
}

const id = matching(/^[\w.-]{1,128}$/, 'an id');

/** Fetched by Meta (`url`), or uploaded before (`attachment_id`). */
export const media: Rule = (field, value) => {
  object({ optional: { url: httpsLink, attachment_id: id, is_reusable: flag } })(field, value);
  const { url, attachment_id: uploaded } = value as Fields;
  if ((url === undefined) === (uploaded === undefined)) broken(field, 'either url or attachment_id');
};

const button = object({ required: { type: matching(/^[a-z_]{1,64}$/, 'web_url, postback …') }, open: true });
const element = object({ required: { title: text(80) }, optional: { subtitle: text(80) }, open: true });
const templateType = matching(/^[a-z_]{1,64}$/, 'button, generic …');

/** Those that are looked into; all others are passed on. */
const TEMPLATES: ReadonlyMap<unknown, Rule> = new Map([
  [
    'button',
    object({ required: { template_type: templateType, text: text(640), buttons: listOf(3, button) }, open: true }),
  ],
  ['generic', object({ required: { template_type: templateType, elements: listOf(10, element) }, open: true })],
]);
const otherTemplate = object({ required: { template_type: templateType }, open: true });

export const template: Rule = (field, value) => {
  const rule = isFields(value) ? TEMPLATES.get(value.template_type) : undefined;
  (rule ?? otherTemplate)(field, value);
};

export const posted = object({ required: { id } });
/** For attachments that are complete with their type. */
export const nothing: Rule = (field) => broken(field, 'left out');

const QUICK_REPLIES: ReadonlyMap<unknown, Rule> = new Map([
  [
    'text',
    object({
      required: { content_type: matching(/^text$/, '"text"'), title: text(20), payload: text(1_000) },
      optional: { image_url: httpsLink },
    }),
  ],
]);
/** Asks for what the person's profile holds. */
const otherQuickReply = object({
  required: { content_type: matching(/^user_(?:phone_number|email)$/, 'text, user_phone_number or user_email') },
});

const quickReply: Rule = (field, value) => {
  const rule = isFields(value) ? QUICK_REPLIES.get(value.content_type) : undefined;
  (rule ?? otherQuickReply)(field, value);
};

const replyTo = object({ required: { mid: text(MAX_ID_LENGTH) } });

export function createContentCheck(rules: ContentRules): (to: string, content: Fields) => void {
  const type = matching(new RegExp(`^(?:${rules.types.join('|')})$`), rules.types.join(', '));
  const body = object({
    required: { message: createMessageRule(rules) },
    optional: { messaging_type: type, tag: rules.tag, reply_to: replyTo, ...rules.options },
  });
  return (to, content) => {
    if (!isRecipient(to)) broken('to', 'the id that Meta gave the person for this page or account: 1 to 32 digits');
    if (typeof content.text === 'string') {
      checkMembers('content', content, ['text']);
      rules.text('content.text', content.text);
      return;
    }
    body('content', content);
    const tagged = content.messaging_type === 'MESSAGE_TAG';
    if (tagged !== (content.tag !== undefined)) {
      broken('content.tag', 'given where messaging_type is MESSAGE_TAG, and only there');
    }
  };
}

function createMessageRule(rules: ContentRules): Rule {
  const bodies: Readonly<Record<string, Rule>> = {
    text: rules.text,
    attachment: attachmentOf(rules.attachments),
    attachments: listOf(rules.maxImages, attachmentOf({ image: media })),
    ...rules.bodies,
  };
  const names = Object.keys(bodies);
  const members = object({ optional: { ...bodies, quick_replies: listOf(13, quickReply) } });
  return (field, value) => {
    members(field, value);
    const given = names.filter((name) => (value as Fields)[name] !== undefined);
    if (given.length !== 1) broken(field, `exactly one of ${names.join(', ')}`);
  };
}

function attachmentOf(kinds: Readonly<Record<string, Rule>>): Rule {
  const names = Object.keys(kinds);
  return (field, value) => {
    if (!isFields(value)) broken(field, 'an object');
    checkMembers(field, value, ['type', 'payload']);
    const rule = typeof value.type === 'string' && Object.hasOwn(kinds, value.type) ? kinds[value.type] : undefined;
    if (rule === undefined) broken(`${field}.type`, names.join(', '));
    if (rule === nothing && value.payload === undefined) return;
    rule(`${field}.payload`, value.payload);
  };
}
