/** Which platform adapters there are. */
import type { PlatformChannel } from '../engine/ports.ts';
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

export function createPlatformChannel(
  platform: PlatformName,
  config: PlatformChannelConfig,
  dependencies: PlatformDependencies,
): PlatformChannel {
  return FACTORIES[platform](config, dependencies);
}
