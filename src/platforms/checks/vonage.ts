/** A sender of the Vonage Messages API: docs/channels/vonage.md. */
import { RoomlineError } from '../../errors.ts';
import { type Fields, isFields, readCode } from '../fields.ts';
import type { VonageSettings } from '../platform.ts';
import { createCredentials } from '../vonage/credentials.ts';
import {
  type ChannelChecker,
  type Finding,
  failed,
  Inquiry,
  notCheckable,
  ok,
  type Reply,
  splitBase,
  warning,
} from './inquiry.ts';

export const checkVonage: ChannelChecker = async (config, { timeoutMs, wallClockMs, webhookUrl }) => {
  if (config.vonage === undefined) throw new RoomlineError('config_invalid', { field: 'vonage', rule: 'required' });
  const { applicationId = null } = config.vonage;
  const credentials = createCredentials(config.accessToken.reveal(), applicationId);
  const { origin, prefix } = splitBase(config.baseUrl);
  const inquiry = new Inquiry(timeoutMs, wallClockMs);
  const ask = (from: string, path: string) =>
    inquiry.get(from, `${prefix}${path}`, { authorization: credentials.authorization(wallClockMs()) });
  try {
    const accounts = accountsOrigin(origin);
    const asked = applicationId === null ? accounts : origin;
    const reply = await ask(asked, applicationId === null ? '/account/get-balance' : '/v1/users?page_size=1');
    if (reply.kind === 'none') return [inquiry.unreachable(reply.code, asked)];
    if (reply.status === 401) return [refusalOf(reply, applicationId !== null)];
    // Other refusals come after who asks has been made sure of; that page is not part of sending.
    const answers = reply.status < 300 || reply.status === 403;
    if (!answers || (reply.status < 300 && reply.fields === null)) {
      return [inquiry.unreachable(reply.status < 300 ? 'answer_unreadable' : `http_${reply.status}`, asked)];
    }
    const sender = await checkSender(config.vonage, (path) => ask(accounts, path));
    const clock = inquiry.clock();
    return [
      ok('platform', `${asked} answers.`),
      ...(clock === null ? [] : [clock]),
      tokenOf(reply.status, applicationId !== null),
      applicationId === null ? balanceOf(reply.fields ?? {}) : BALANCE_UNKNOWN,
      sender,
      notCheckable('webhook_secret', 'not_told', 'Compare webhookSecrets with the signature secret under Settings.'),
      webhookOf(webhookUrl, applicationId !== null),
    ];
  } finally {
    await inquiry.close();
  }
};

/** Beside api.nexmo.com and api-eu.nexmo.com; behind any other address all is asked in one place. */
export function accountsOrigin(origin: string): string {
  return /^https:\/\/api(?:-[a-z]+)?\.nexmo\.com$/.test(origin) ? 'https://rest.nexmo.com' : origin;
}

const BALANCE_UNKNOWN = notCheckable(
  'account',
  'application_may_not_ask',
  'An application may not look at the balance: see the dashboard.',
);

function refusalOf({ fields }: Extract<Reply, { kind: 'answered' }>, byKey: boolean): Finding {
  const problem = typeof fields?.type === 'string' ? readCode(fields.type.split('#').at(-1)) : null;
  const what = byKey
    ? 'the application or its private key: they must belong together, and this clock must be right'
    : 'key and secret of the account';
  return failed('token', problem ?? '401', `Vonage refuses ${what}.`);
}

function tokenOf(status: number, byKey: boolean): Finding {
  if (status < 300) return ok('token', `Vonage accepts ${byKey ? "the application's key" : 'key and secret'}.`);
  return notCheckable(
    'token',
    `http_${status}`,
    'Vonage knows who asks, and says no more: only a message shows the rest.',
  );
}

function balanceOf({ value, autoReload }: Fields): Finding {
  if (typeof value !== 'number') return notCheckable('account', 'not_told', 'Vonage does not tell the balance.');
  // The amount itself is nobody's business who looks at a check.
  if (value > 0) return ok('account', 'The account has credit.');
  const again = autoReload === true ? 'It is topped up by itself.' : 'Top it up, unless it is paid later.';
  return warning('account', 'no_credit', `The account has no credit. ${again}`);
}

async function checkSender(
  { from, channel, applicationId }: VonageSettings,
  ask: (path: string) => Promise<Reply>,
): Promise<Finding> {
  const byHand = `See in the dashboard that ${from} is linked to the application, for ${channel}.`;
  if (applicationId !== undefined) return notCheckable('sender', 'application_may_not_ask', byHand);
  if ((channel !== 'sms' && channel !== 'mms') || !/^\d+$/.test(from))
    return notCheckable('sender', 'not_told', byHand);
  const reply = await ask(`/account/numbers?pattern=${from}&search_pattern=0`);
  if (reply.kind === 'none' || reply.status >= 300 || reply.fields === null) {
    return notCheckable('sender', reply.kind === 'none' ? reply.code : `http_${reply.status}`, byHand);
  }
  const numbers = (Array.isArray(reply.fields.numbers) ? reply.fields.numbers : []).filter(isFields);
  const own = numbers.find((number) => String(number.msisdn) === from);
  // A number elsewhere may be allowed as a sender by contract.
  if (own === undefined) return warning('sender', 'sender_unknown', `The account has no number ${from}.`);
  const wanted = channel.toUpperCase();
  if (Array.isArray(own.features) && !own.features.includes(wanted)) {
    return failed('sender', 'sender_cannot_sms', `The number ${from} has no ${wanted}.`);
  }
  return ok('sender', `The account has the number ${from}.`);
}

function webhookOf(webhookUrl: string | null, byKey: boolean): Finding {
  const name = 'webhook_url';
  if (!byKey) {
    const detail =
      'With key and secret Vonage supports no webhooks: take an application, unless you have seen them come.';
    return warning(name, 'without_application', detail);
  }
  if (webhookUrl !== null) return ok(name, `Each message names ${webhookUrl}.`);
  return notCheckable(name, 'public_url_missing', "See in the dashboard that the application's status URL leads here.");
}
