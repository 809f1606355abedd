/** Instagram Messaging: docs/channels/instagram.md. */
import { RoomlineError } from '../errors.ts';
import { openMessagingChannel } from './messaging/channel.ts';
import { type ContentRules, maxBytes, media, nothing, posted, template } from './messaging/content.ts';
import type { PlatformFactory } from './platform.ts';
import { matching } from './rules.ts';

const CONTENT: ContentRules = {
  text: maxBytes(1_000),
  types: ['RESPONSE', 'UPDATE', 'MESSAGE_TAG'],
  tag: matching(/^HUMAN_AGENT$/, '"HUMAN_AGENT", the only tag that Instagram has'),
  attachments: {
    image: media,
    audio: media,
    video: media,
    file: media,
    template,
    like_heart: nothing,
    MEDIA_SHARE: posted,
  },
  maxImages: 10,
  options: {},
  bodies: {},
};

export const createInstagramChannel: PlatformFactory = (config, dependencies) => {
  if (config.instagram === undefined) {
    throw new RoomlineError('config_invalid', { field: 'instagram', rule: 'required' });
  }
  const { accountId, apiVersion, verifyToken } = config.instagram;
  return openMessagingChannel(config, dependencies, {
    senderId: accountId,
    apiVersion,
    verifyToken,
    // The token's own page, or account: right with both kinds of login, which want different ids here.
    node: 'me',
    // The account's id in the entries is what counts.
    objects: ['instagram', 'page'],
    content: CONTENT,
    defaults: {},
    // Documented for Messenger alone; a member that Instagram does not know could cost the message.
    echoesMetadata: false,
    uploads: { types: ['image', 'audio', 'video'], members: { platform: 'instagram' } },
  });
};
