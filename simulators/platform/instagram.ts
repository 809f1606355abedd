import { SEND_API_CHANNEL, sendApi, sendApiLimits } from './send-api.ts';

/**
 * Instagram Messaging, under either of its logins. Nothing tells of a delivery; an echo, which repeats nothing of the
 * sender's, and a read name the message by its long id.
 */

const MAX_TEXT_BYTES = 1_000;

/** Who `me` is: the only account there is. */
export const ACCOUNT = '17841400000000001';

export const instagram = sendApi({
  name: 'instagram',
  object: 'instagram',
  self: ACCOUNT,
  stranger: '1700000000009998',
  messagingTypes: new Set(['RESPONSE', 'UPDATE', 'MESSAGE_TAG']),
  typeRequired: false,
  options: ['reply_to'],
  // `metadata` is not among what Instagram documents.
  members: ['text', 'attachment', 'attachments', 'quick_replies'],
  attachments: new Set(['image', 'audio', 'video', 'file', 'template', 'like_heart', 'MEDIA_SHARE']),
  maxImages: 10,
  tooLong: (text) => Buffer.byteLength(text) > MAX_TEXT_BYTES,
  outsideWindow: {
    status: 403,
    code: '10/2534022',
    message: 'This message is sent outside of allowed window.',
    permanent: true,
    scope: 'message',
  },
  settings: {
    message: { phone: { offlineTtlMs: 30 * 86_400_000 }, status: { delivered: { probability: 0 } } },
    channel: { ...SEND_API_CHANNEL, ...sendApiLimits(403) },
  },

  id({ no, boot, draws }) {
    const random = Array.from({ length: 60 }, (_, at) => Math.floor(draws.uniform(no, at) * 10)).join('');
    const name = `ig_e_message:1:IGMessageID:${ACCOUNT}:${boot}:${no}:${random}`;
    return `aWdfZAG1f${Buffer.from(name).toString('base64').replaceAll('=', 'ZD')}`;
  },

  event(status, { message, sentAt, at }) {
    switch (status) {
      case 'echo':
        return { timestamp: sentAt, message: { mid: message.id, is_echo: true } };
      case 'delivered':
        return undefined;
      case 'read':
        return { timestamp: at, read: { mid: message.id } };
    }
  },
});
