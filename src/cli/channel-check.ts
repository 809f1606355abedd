/** Verifies configured channels as far as that goes without sending: what the settings show, and what platforms tell. */
import PQueue from 'p-queue';
import { isLoopback } from '../config/rules.ts';
import type { ChannelConfig, Config } from '../config.ts';
import { checkPlatform } from '../platforms/checks/checkers.ts';
import { type Finding, type FindingOutcome, failed, notCheckable, ok, warning } from '../platforms/checks/inquiry.ts';
import { webhookUrlOf } from '../platforms/platform.ts';

export interface ChannelReport {
  readonly tenant: string;
  readonly channel: string;
  readonly platform: string;
  readonly account: string;
  /** The worst of its findings. What cannot be checked is not held against a channel. */
  readonly outcome: Exclude<FindingOutcome, 'not_checkable'>;
  readonly findings: readonly Finding[];
}

/** Channels asked about at once. */
const CONCURRENCY = 8;

/** @param timeoutMs for all questions to the platform of one channel */
export async function checkChannels(
  config: Config,
  channels: readonly ChannelConfig[],
  timeoutMs: number,
): Promise<ChannelReport[]> {
  const queue = new PQueue({ concurrency: CONCURRENCY });
  return queue.addAll(channels.map((channel) => () => checkChannel(config, channel, timeoutMs)));
}

async function checkChannel(config: Config, channel: ChannelConfig, timeoutMs: number): Promise<ChannelReport> {
  const { tenant, name, platform, account } = channel;
  const webhookUrl = webhookUrlOf(config.http.publicUrl, { tenant, channel: name });
  const asked = await checkPlatform(platform, channel, { wallClockMs: () => Date.now(), webhookUrl, timeoutMs });
  const findings = [...ofSettings(config, channel), ...asked].map((finding) => withoutSecrets(finding, channel));
  return { tenant, channel: name, platform, account, outcome: worstOf(findings), findings };
}

/** The worst of several outcomes. */
export function worstOf(of: readonly { readonly outcome: FindingOutcome }[]): ChannelReport['outcome'] {
  const outcomes = new Set(of.map(({ outcome }) => outcome));
  if (outcomes.has('failed')) return 'failed';
  return outcomes.has('warning') ? 'warning' : 'ok';
}

function ofSettings({ http, postgres }: Config, channel: ChannelConfig): Finding[] {
  const verify = verifyTokenOf(channel);
  const kept = retentionOf(channel, postgres.historyRetentionDays);
  return [
    publicUrlOf(http.publicUrl),
    secretsOf(channel),
    ...(verify === null ? [] : [verify]),
    ackLevelOf(channel),
    ...(kept === null ? [] : [kept]),
  ];
}

function publicUrlOf(publicUrl: string | undefined): Finding {
  const name = 'public_url';
  if (publicUrl === undefined) {
    const detail = 'http.publicUrl is not set: whether webhooks come here cannot be compared.';
    return warning(name, 'public_url_missing', detail);
  }
  // Anything else than https is allowed on a loopback host only.
  if (isLoopback(new URL(publicUrl).hostname)) {
    return warning(name, 'public_url_loopback', 'http.publicUrl is a loopback address, which no platform can reach.');
  }
  return notCheckable(name, 'reached_from_outside', `See from outside that ${publicUrl}/readyz leads to Roomline.`);
}

function secretsOf({ webhookSecrets }: ChannelConfig): Finding {
  const name = 'webhook_secrets';
  const different = new Set(webhookSecrets.map((secret) => secret.reveal()));
  if (different.size < webhookSecrets.length) return warning(name, 'secret_repeated', 'A secret is given twice.');
  return ok(name, different.size === 1 ? 'One secret is set.' : `${different.size} secrets are set.`);
}

/** Meta asks whose a webhook address is; null where nobody asks. */
function verifyTokenOf({ platform, whatsapp, messenger, instagram }: ChannelConfig): Finding | null {
  const settings = whatsapp ?? messenger ?? instagram;
  if (settings === undefined) return null;
  const name = 'verify_token';
  if (settings.verifyToken !== undefined) return ok(name, 'The question whose the address is will be answered.');
  const detail = `Set ${platform}.verifyToken: without it the address cannot be entered at Meta.`;
  return warning(name, 'verify_token_missing', detail);
}

type AckLevel = ChannelConfig['unlockedBy'];
const ALL: readonly AckLevel[] = ['accepted', 'sent', 'delivered', 'read'];

/** What can be told of a channel's messages at all. */
function levelsOf({ platform, twilio, vonage }: ChannelConfig): readonly AckLevel[] {
  if (platform === 'telegram') return ['accepted'];
  if (platform === 'instagram') return ['accepted', 'sent', 'read'];
  const plain = vonage?.channel === 'sms' || vonage?.channel === 'mms';
  const number = twilio !== undefined && !/^(whatsapp:|MG)/.test(twilio.from);
  return plain || number ? ['accepted', 'sent', 'delivered'] : ALL;
}

function ackLevelOf(channel: ChannelConfig): Finding {
  const name = 'ack_level';
  const { unlockedBy, platform, ackTimeoutMs } = channel;
  if (levelsOf(channel).includes(unlockedBy)) return ok(name, `"${unlockedBy}" lets the next message of a room go.`);
  const detail = `${platform} never tells "${unlockedBy}" here: each message would wait ${ackTimeoutMs} ms.`;
  return failed(name, 'ack_level_never_told', detail);
}

/** How many days after a message its last status may come. */
const LATEST_STATUS_DAYS: Partial<Record<ChannelConfig['platform'], number>> = { whatsapp: 30, vonage: 1 };

function retentionOf({ platform }: ChannelConfig, days: number): Finding | null {
  const latest = LATEST_STATUS_DAYS[platform];
  if (latest === undefined) return null;
  const name = 'retention';
  if (days >= latest) return ok(name, `Messages are kept ${days} days; statuses come for ${latest}.`);
  const detail = `postgres.historyRetentionDays is ${days}: statuses that come later (for up to ${latest}) match nothing.`;
  return warning(name, 'retention_short', detail);
}

const MASK = '[secret]';
/** Shorter ones would be found in ordinary words. */
const LEAST_MASKED = 6;

/** What a platform tells is shown in part; a secret that it repeats is not. */
function withoutSecrets(finding: Finding, channel: ChannelConfig): Finding {
  const { whatsapp, messenger, instagram } = channel;
  const secrets = [channel.accessToken, ...channel.webhookSecrets, (whatsapp ?? messenger ?? instagram)?.verifyToken]
    .flatMap((secret) => secret?.reveal().split(':').concat(secret.reveal()) ?? [])
    .filter((text) => text.length >= LEAST_MASKED)
    .sort((one, other) => other.length - one.length);
  return { ...finding, detail: secrets.reduce((text, secret) => text.replaceAll(secret, MASK), finding.detail) };
}
