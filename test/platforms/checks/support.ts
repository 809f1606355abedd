import { generateKeyPairSync } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { generic } from '../../../simulators/platform/generic.ts';
import { instagram } from '../../../simulators/platform/instagram.ts';
import { messenger } from '../../../simulators/platform/messenger.ts';
import { createFakePlatform, type FakePlatform } from '../../../simulators/platform/platform.ts';
import type { Profile } from '../../../simulators/platform/profile.ts';
import { instant, type Settings } from '../../../simulators/platform/settings.ts';
import { telegram } from '../../../simulators/platform/telegram.ts';
import { twilio } from '../../../simulators/platform/twilio.ts';
import { vonage } from '../../../simulators/platform/vonage.ts';
import { whatsapp } from '../../../simulators/platform/whatsapp.ts';
import { checkPlatform } from '../../../src/platforms/checks/checkers.ts';
import type { Finding } from '../../../src/platforms/checks/inquiry.ts';
import type { PlatformChannelConfig } from '../../../src/platforms/platform.ts';
import type { PlatformName } from '../../../src/platforms/registry.ts';

export const WEBHOOK_URL = 'http://roomline.example/v1/webhooks/default/support';
export const SECRET = '0f1e2d3c4b5a69788796a5b4c3d2e1f0';
const VERIFY_TOKEN = 'verify-token-of-ours';
export const ACCOUNT_SID = `AC${'1'.repeat(32)}`;
export const APPLICATION = '00000000-0000-4000-8000-0000000000aa';
export const PRIVATE_KEY = generateKeyPairSync('rsa', {
  modulusLength: 2_048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
}).privateKey;

export const hidden = (text: string) => ({ reveal: () => text });

export interface Case {
  readonly platform: PlatformName;
  readonly profile: Profile;
  /** What the fake platform takes, and what the channel says. */
  readonly token: string;
  readonly accessToken: string;
  /** In the right form, and nobody's. */
  readonly wrongToken: Partial<PlatformChannelConfig>;
  readonly own: Partial<PlatformChannelConfig>;
}

const verifyToken = hidden(VERIFY_TOKEN);

export const CASES = {
  generic: {
    platform: 'generic',
    profile: generic,
    token: 'token-of-the-gateway',
    accessToken: 'token-of-the-gateway',
    wrongToken: { accessToken: hidden('wrong-token-of-nobody') },
    own: {},
  },
  whatsapp: {
    platform: 'whatsapp',
    profile: whatsapp,
    token: 'EAAJBtokenOfWhatsApp',
    accessToken: 'EAAJBtokenOfWhatsApp',
    wrongToken: { accessToken: hidden('EAAwrongTokenOfNobody') },
    own: { whatsapp: { phoneNumberId: '106540352242922', apiVersion: 'v25.0', verifyToken } },
  },
  telegram: {
    platform: 'telegram',
    profile: telegram,
    token: '123456789:AAEtokenOfTelegram',
    accessToken: '123456789:AAEtokenOfTelegram',
    wrongToken: { accessToken: hidden('123456789:AAEwrongTokenOfNobody') },
    own: {},
  },
  messenger: {
    platform: 'messenger',
    profile: messenger,
    token: 'EAAJBtokenOfMessenger',
    accessToken: 'EAAJBtokenOfMessenger',
    wrongToken: { accessToken: hidden('EAAwrongTokenOfNobody') },
    own: { messenger: { pageId: '104000000000001', apiVersion: 'v25.0', verifyToken } },
  },
  instagram: {
    platform: 'instagram',
    profile: instagram,
    token: 'EAAJBtokenOfInstagram',
    accessToken: 'EAAJBtokenOfInstagram',
    wrongToken: { accessToken: hidden('EAAwrongTokenOfNobody') },
    own: { instagram: { accountId: '17841400000000001', apiVersion: 'v25.0', verifyToken } },
  },
  twilio: {
    platform: 'twilio',
    profile: twilio,
    token: SECRET,
    accessToken: SECRET,
    wrongToken: { accessToken: hidden('f'.repeat(32)) },
    own: { twilio: { accountSid: ACCOUNT_SID, from: '+15550100002' } },
  },
  vonage: {
    platform: 'vonage',
    profile: vonage,
    token: APPLICATION,
    accessToken: PRIVATE_KEY,
    wrongToken: {
      vonage: { from: '15550100002', channel: 'sms', applicationId: '00000000-0000-4000-8000-0000000000bb' },
    },
    own: { vonage: { from: '15550100002', channel: 'sms', applicationId: APPLICATION } },
  },
} as const satisfies Record<string, Case>;

type ChannelOfFake = Settings['channels'][string];

/** A fake platform with one channel, whose webhooks come to us. */
export async function startFake({ profile, token }: Case, change: ChannelOfFake = {}): Promise<FakePlatform> {
  const channel = { token, webhook: { urls: [WEBHOOK_URL], secret: SECRET }, ...change };
  const platform = createFakePlatform({
    seed: 7,
    profile,
    settings: [instant, { channels: { default: null, support: channel } }],
  });
  await platform.start();
  onTestFinished(() => platform.stop());
  return platform;
}

export interface Asking {
  readonly config?: Partial<PlatformChannelConfig>;
  readonly webhookUrl?: string | null;
  readonly timeoutMs?: number;
  readonly wallClockMs?: () => number;
}

/** What the check of the case's channel finds, at this address. */
export async function check(one: Case, baseUrl: string, asking: Asking = {}): Promise<Finding[]> {
  const { config = {}, webhookUrl = WEBHOOK_URL, timeoutMs = 5_000, wallClockMs = Date.now } = asking;
  const whole: PlatformChannelConfig = {
    baseUrl,
    accessToken: hidden(one.accessToken),
    webhookSecrets: [hidden(SECRET)],
    lookup: false,
    maxConcurrentSends: 4,
    sendTimeoutMs: 5_000,
    ...one.own,
    ...config,
  };
  const findings = await checkPlatform(one.platform, whole, { wallClockMs, webhookUrl, timeoutMs });
  const told = JSON.stringify(findings);
  const secrets = [whole.accessToken, ...whole.webhookSecrets, verifyToken].flatMap((secret) => {
    const text = secret.reveal();
    return [text, ...text.split(/[:\n]/)].filter((part) => part.length > 10);
  });
  const shown = secrets.filter((secret) => told.includes(secret));
  if (shown.length > 0) throw new Error(`the findings show ${shown.length} secrets`);
  return findings;
}

/** One line for each finding that is not simply right: `token failed 190`. */
export function troubles(findings: readonly Finding[]): string[] {
  return findings
    .filter(({ outcome }) => outcome !== 'ok')
    .map(({ name, outcome, code }) => `${name} ${outcome} ${code}`);
}

export function find(findings: readonly Finding[], name: string): Finding | undefined {
  return findings.find((finding) => finding.name === name);
}
