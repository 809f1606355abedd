import { hashText, Purpose } from './random.ts';
import { SEND_API_CHANNEL, sendApi, sendApiLimits } from './send-api.ts';

/**
 * The Messenger Platform. A delivery names its messages most of the time and always carries a watermark; a read is a
 * watermark alone. All of it is told by the platform's own clock. `status.named` as `reference` takes the names of
 * deliveries away wherever the watermark says enough.
 */

const MAX_TEXT = 2_000;
/** How many deliveries come without the ids of their messages, as older apps send them. */
const WITHOUT_MIDS = 0.25;
const MIDS = Purpose.fault + (hashText('delivery without mids') % 1_000_000);
const APP = 104_000_000_000_009;

export const PAGE = '104000000000001';

export const messenger = sendApi({
  name: 'messenger',
  object: 'page',
  self: PAGE,
  stranger: '6100000000009998',
  messagingTypes: new Set(['RESPONSE', 'UPDATE', 'MESSAGE_TAG', 'UTILITY']),
  typeRequired: true,
  options: ['notification_type', 'persona_id', 'reply_to'],
  members: ['text', 'attachment', 'attachments', 'template', 'quick_replies', 'metadata'],
  attachments: new Set(['image', 'audio', 'video', 'file', 'template']),
  maxImages: 30,
  tooLong: (text) => [...text].length > MAX_TEXT,
  outsideWindow: {
    status: 400,
    code: '10/2018278',
    message: 'This message is sent outside of allowed window.',
    permanent: true,
    scope: 'message',
  },
  settings: {
    // What is not delivered yet stays where it is until the person comes back.
    message: { phone: { offlineTtlMs: 30 * 86_400_000 } },
    channel: { ...SEND_API_CHANNEL, ...sendApiLimits(400) },
  },

  id({ no, boot, draws }) {
    const bytes = Buffer.alloc(48);
    bytes.writeUIntBE(boot, 0, 6);
    bytes.writeUInt32BE(no, 6);
    for (let at = 10; at < bytes.length; at++) bytes[at] = Math.floor(draws.uniform(no, at) * 256);
    return `m_${bytes.toString('base64url')}`;
  },

  event(status, { message, reference, sentAt, at, watermark }) {
    switch (status) {
      case 'echo':
        return {
          timestamp: sentAt,
          message: {
            is_echo: true,
            app_id: APP,
            mid: message.id,
            ...(reference === undefined ? {} : { metadata: reference }),
          },
        };
      case 'delivered': {
        const { form, named, clockSkewMs } = message.knobs.status;
        const covered = message.acceptedAt + clockSkewMs < watermark;
        const bare = form === 'watermark' || named === 'reference' || message.draws.chance(MIDS, WITHOUT_MIDS);
        return { delivery: { ...(covered && bare ? {} : { mids: [message.id] }), watermark } };
      }
      case 'read': {
        // Later ones may have been delivered by now, but this is told about this one.
        const { form, clockSkewMs } = message.knobs.status;
        const until = form === 'watermark' ? watermark : message.acceptedAt + clockSkewMs + 1;
        return { timestamp: at, read: { watermark: Math.min(watermark, until) } };
      }
    }
  },
});
