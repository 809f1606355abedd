/** What each platform needs to be told beside what all channels have. */
import { type TProperties, Type } from 'typebox';
import type { Secret } from './secret.ts';

function section<P extends TProperties>(description: string, properties: P) {
  return Type.Object(properties, { additionalProperties: false, description });
}

function matching(description: string, pattern: string) {
  return Type.String({ description, pattern });
}

/** Settings of these sections that a platform's defaults may give. */
export const API_VERSION = matching('Version of the Graph API.', '^v[0-9]{1,3}\\.[0-9]{1,2}$');
const verifyToken = Type.Optional(
  Type.Unsafe<Secret>({
    description: 'The token that Meta repeats when it checks the webhook address; without it no such check succeeds.',
    secret: true,
    secretMinLength: 8,
  } as object),
);

/** A section for each platform that has settings of its own; a channel has that of its platform. */
export const platformSettings = {
  whatsapp: section('WhatsApp Cloud API.', {
    phoneNumberId: matching('Id of the business number (not the number itself).', '^[0-9]{5,32}$'),
    apiVersion: API_VERSION,
    verifyToken,
  }),
  messenger: section('Messenger Platform.', {
    pageId: matching('Id of the page.', '^[0-9]{3,32}$'),
    apiVersion: API_VERSION,
    verifyToken,
  }),
  instagram: section('Instagram Messaging.', {
    accountId: matching('Id of the professional account, as webhooks name it.', '^[0-9]{3,32}$'),
    apiVersion: API_VERSION,
    verifyToken,
  }),
  twilio: section('Twilio Programmable Messaging.', {
    accountSid: matching('The account: AC and 32 hex digits.', '^AC[0-9a-f]{32}$'),
    from: matching(
      'A number (+…), whatsapp:+…, a short code, or a messaging service (MG…).',
      '^(whatsapp:\\+[0-9]{5,20}|\\+[0-9]{5,20}|[0-9]{3,8}|[A-Za-z0-9 ]{1,11}|MG[0-9a-f]{32})$',
    ),
  }),
  vonage: section('Vonage Messages API.', {
    from: matching('The sender: a number without +, or a name.', '^[A-Za-z0-9 ._-]{1,50}$'),
    channel: Type.Enum(['sms', 'whatsapp', 'messenger', 'viber_service', 'mms', 'rcs'], {
      description: 'Which of its channels is meant.',
    }),
    applicationId: Type.Optional(
      matching(
        'With it, accessToken is the private key (PEM) of this application; else it is key:secret.',
        '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$',
      ),
    ),
  }),
};

export const PLATFORM_NAMES = [
  'generic',
  'whatsapp',
  'telegram',
  'messenger',
  'instagram',
  'twilio',
  'vonage',
] as const;
