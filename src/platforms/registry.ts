/** Which platform adapters there are. */
import type { PlatformChannel } from '../engine/ports.ts';
import type { AckLevel } from '../room/room.ts';
import { boundVariety } from './failure-variety.ts';
import { createGenericChannel } from './generic.ts';
import { createInstagramChannel } from './instagram.ts';
import { createMessengerChannel } from './messenger.ts';
import type { PlatformChannelConfig, PlatformDependencies, PlatformFactory } from './platform.ts';
import { createTelegramChannel } from './telegram.ts';
import { createTwilioChannel } from './twilio.ts';
import { createVonageChannel } from './vonage.ts';
import { createWhatsAppChannel } from './whatsapp.ts';

const FACTORIES = {
  generic: createGenericChannel,
  whatsapp: createWhatsAppChannel,
  telegram: createTelegramChannel,
  messenger: createMessengerChannel,
  instagram: createInstagramChannel,
  twilio: createTwilioChannel,
  vonage: createVonageChannel,
} as const satisfies Record<string, PlatformFactory>;

export type PlatformName = keyof typeof FACTORIES;

/** Each of their requests says where its statuses are to go. Twilio's cannot be made without. */
const NAME_THE_ADDRESS: readonly PlatformName[] = ['twilio', 'vonage'];

/** True where the channel's acks may find no way to us: whether they do is then a setting at the platform. */
export function mayLackAcks(platform: PlatformName, unlockedBy: AckLevel, webhookUrl: string | null): boolean {
  return webhookUrl === null && unlockedBy !== 'accepted' && NAME_THE_ADDRESS.includes(platform);
}

export function createPlatformChannel(
  platform: PlatformName,
  config: PlatformChannelConfig,
  dependencies: PlatformDependencies,
): PlatformChannel {
  return boundVariety(FACTORIES[platform](config, dependencies), dependencies.wallClockMs);
}
