import { generateKeyPairSync, randomBytes, randomInt } from 'node:crypto';
import type { ProfileName } from '../platform/profiles.ts';
import { API_KEY } from '../platform/vonage.ts';

/** How one platform's credentials look: those that Roomline is given, and what the fake platform knows them by. */
export interface Credentials {
  /** An access token as the adapter takes it. */
  readonly accessToken: () => string;
  /** What the fake platform recognises its bearer by; the token itself unless this is given. */
  readonly knownBy?: (policy: object) => string;
  /** Webhooks are signed with the access token. */
  readonly signsWithToken?: boolean;
}

const opaque = (): string => randomBytes(32).toString('base64url');
const botToken = (): string => `${randomInt(100_000_000, 1_000_000_000)}:${randomBytes(26).toString('base64url')}`;

function applicationOf(policy: object): string {
  return (policy as { vonage: { applicationId: string } }).vonage.applicationId;
}

export const CREDENTIALS: Readonly<Record<ProfileName, Credentials>> = {
  generic: { accessToken: opaque },
  whatsapp: { accessToken: opaque },
  messenger: { accessToken: opaque },
  instagram: { accessToken: opaque },
  telegram: { accessToken: botToken },
  twilio: { accessToken: () => randomBytes(16).toString('hex'), signsWithToken: true },
  // Of an application: webhooks come for nothing else.
  vonage: {
    accessToken: () =>
      generateKeyPairSync('rsa', {
        modulusLength: 2_048,
        publicKeyEncoding: { type: 'spki', format: 'pem' },
        privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      }).privateKey,
    knownBy: applicationOf,
  },
};

/** A token of a sender that needs no webhooks. */
export const directToken = (profile: ProfileName): string =>
  profile === 'vonage' ? `${API_KEY}:${opaque()}` : CREDENTIALS[profile].accessToken();
