/** What can be verified of a channel by asking its platform, without sending anything. */
import { RoomlineError } from '../../errors.ts';
import type { PlatformChannelConfig } from '../platform.ts';
import { createPlatformChannel, type PlatformName } from '../registry.ts';
import { checkGeneric } from './generic.ts';
import { type ChannelChecker, type Finding, failed, ok } from './inquiry.ts';
import { checkInstagram } from './instagram.ts';
import { checkMessenger } from './messenger.ts';
import { checkTelegram } from './telegram.ts';
import { checkTwilio } from './twilio.ts';
import { checkVonage } from './vonage.ts';
import { checkWhatsApp } from './whatsapp.ts';

const CHECKERS = {
  generic: checkGeneric,
  whatsapp: checkWhatsApp,
  telegram: checkTelegram,
  messenger: checkMessenger,
  instagram: checkInstagram,
  twilio: checkTwilio,
  vonage: checkVonage,
} as const satisfies Record<PlatformName, ChannelChecker>;

/** What the adapter says of its settings, then what the platform says; settings that it refuses are not asked about. */
export async function checkPlatform(
  platform: PlatformName,
  config: PlatformChannelConfig,
  dependencies: Parameters<ChannelChecker>[1],
): Promise<Finding[]> {
  try {
    await createPlatformChannel(platform, config, dependencies).close();
  } catch (error) {
    if (!(error instanceof RoomlineError)) throw error;
    return [failed('settings', error.code, `${error.field ?? 'A setting'} must be: ${error.rule ?? 'valid'}.`)];
  }
  return [ok('settings', 'The secrets are there, and have the form that the platform gives them.')].concat(
    await CHECKERS[platform](config, dependencies),
  );
}
