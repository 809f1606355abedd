/** The Messenger Platform: docs/channels/messenger.md. */
import { RoomlineError } from '../errors.ts';
import { openMessagingChannel } from './messaging/channel.ts';
import { type ContentRules, maxCharacters, media, template } from './messaging/content.ts';
import type { PlatformFactory } from './platform.ts';
import { matching, object } from './rules.ts';

const CONTENT: ContentRules = {
  text: maxCharacters(2_000),
  types: ['RESPONSE', 'UPDATE', 'MESSAGE_TAG', 'UTILITY'],
  tag: matching(/^[A-Z_]{1,64}$/, 'a message tag, such as HUMAN_AGENT'),
  attachments: { image: media, audio: media, video: media, file: media, template },
  maxImages: 30,
  options: {
    notification_type: matching(/^(?:REGULAR|SILENT_PUSH|NO_PUSH)$/, 'REGULAR, SILENT_PUSH or NO_PUSH'),
    persona_id: matching(/^[0-9]{1,32}$/, "a persona's id"),
  },
  bodies: {
    // A utility message: a template that Meta approved, by its name.
    template: object({ required: { name: matching(/^[\w.-]{1,512}$/, 'the name of a template') }, open: true }),
  },
};

export const createMessengerChannel: PlatformFactory = (config, dependencies) => {
  if (config.messenger === undefined) {
    throw new RoomlineError('config_invalid', { field: 'messenger', rule: 'required' });
  }
  const { pageId, apiVersion, verifyToken } = config.messenger;
  return openMessagingChannel(config, dependencies, {
    senderId: pageId,
    apiVersion,
    verifyToken,
    node: pageId,
    objects: ['page'],
    content: CONTENT,
    defaults: { messaging_type: 'RESPONSE' },
    echoesMetadata: true,
    uploads: { types: ['image', 'audio', 'video', 'file'], members: {} },
  });
};
