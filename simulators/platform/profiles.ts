/** The platforms that the fake one can be. */
import { generic } from './generic.ts';
import { instagram } from './instagram.ts';
import { messenger } from './messenger.ts';
import type { Profile } from './profile.ts';
import { telegram } from './telegram.ts';
import { twilio } from './twilio.ts';
import { vonage } from './vonage.ts';
import { whatsapp } from './whatsapp.ts';

export const PROFILES = { generic, instagram, messenger, telegram, twilio, vonage, whatsapp } as const satisfies Record<
  string,
  Profile
>;

export type ProfileName = keyof typeof PROFILES;

export const isProfileName = (name: string): name is ProfileName => Object.hasOwn(PROFILES, name);
