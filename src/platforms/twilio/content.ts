/** What a publisher may ask for: the parameters of the Message resource without those that Roomline sets. */
import { type Fields, isFields } from '../fields.ts';
import { between, broken, checkMembers, flag, httpsLink, listOf, matching, object, type Rule, text } from '../rules.ts';
import { recipientOf } from './address.ts';

export const MAX_BODY = 1_600;
const MAX_MEDIA = 10;
const MAX_VALIDITY_S = 36_000;

const body = text(MAX_BODY);

const wholeSeconds: Rule = (field, value) => {
  if (!Number.isInteger(value)) broken(field, `whole seconds from 1 to ${MAX_VALIDITY_S}`);
  between(1, MAX_VALIDITY_S)(field, value);
};

/** An object of texts, or the JSON of one, as Twilio's own libraries take it. */
const variables: Rule = (field, value) => {
  const rule = 'an object of texts, or its JSON';
  const entries = typeof value === 'string' ? readJson(value) : value;
  if (!isFields(entries)) broken(field, rule);
  for (const one of Object.values(entries)) if (typeof one !== 'string') broken(field, rule);
};

function readJson(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return null;
  }
}

/** Passed on as it is. */
const word = matching(/^[\w.:|+-]{1,64}$/, 'a word of Twilio’s');
const media: Rule = (field, value) => {
  if (typeof value === 'string') httpsLink(field, value);
  else listOf(MAX_MEDIA, httpsLink)(field, value);
};

/** By name, in the order in which they are sent. */
export const PARAMETERS: Readonly<Record<string, Rule>> = {
  Body: body,
  MediaUrl: media,
  ContentSid: matching(/^HX[0-9a-fA-F]{32}$/, 'HX and 32 hex digits'),
  ContentVariables: variables,
  ValidityPeriod: wholeSeconds,
  PersistentAction: listOf(10, text(1_024)),
  MaxPrice: between(0, 1_000),
  SmartEncoded: flag,
  ShortenUrls: flag,
  SendAsMms: flag,
  ProvideFeedback: flag,
  ForceDelivery: flag,
  RiskCheck: word,
  TrafficType: word,
  ContentRetention: word,
  AddressRetention: word,
};

const parameters = object({ optional: PARAMETERS });

export function createContentCheck(from: string): (to: string, content: Fields) => void {
  return (to, content) => {
    if (recipientOf(from, to) === null) {
      broken('to', 'a phone number with country code, such as +15550100001, on the side of the sender');
    }
    if (typeof content.text === 'string') {
      checkMembers('content', content, ['text']);
      body('content.text', content.text);
      return;
    }
    parameters('content', content);
    const { Body, MediaUrl, ContentSid, ContentVariables } = content;
    if (Body === undefined && MediaUrl === undefined && ContentSid === undefined) {
      broken('content', 'at least one of Body, MediaUrl and ContentSid');
    }
    if (ContentVariables !== undefined && ContentSid === undefined) {
      broken('content.ContentVariables', 'given only with ContentSid');
    }
  };
}
