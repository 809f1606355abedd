/** A sender of Twilio: docs/channels/twilio.md. */
import { RoomlineError } from '../../errors.ts';
import { type Fields, isFields, readCode, readText } from '../fields.ts';
import type { Revealable } from '../platform.ts';
import { isMessagingService } from '../twilio/address.ts';
import { basicOf } from '../twilio/credentials.ts';
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

/** Where an account or an API key is refused: wrong, deleted, or of another account. */
const DENIED = new Set([401, 403]);

/** Beside api.twilio.com and api.sydney.au1.twilio.com; behind any other address all is asked in one place. */
export function servicesOrigin(origin: string): string {
  return origin.replace(/^https:\/\/api\.((?:[a-z0-9-]+\.)*twilio\.com)$/, 'https://messaging.$1');
}

/** Asks one account; the services have a host of their own beside that of the account's resources. */
class TwilioInquiry {
  readonly inquiry: Inquiry;
  readonly origin: string;
  readonly #prefix: string;
  readonly #accountSid: string;

  constructor(inquiry: Inquiry, baseUrl: string, accountSid: string) {
    const { origin, prefix } = splitBase(baseUrl);
    this.inquiry = inquiry;
    this.origin = origin;
    this.#prefix = prefix;
    this.#accountSid = accountSid;
  }

  account(token: string): Promise<Reply> {
    return this.#get(this.origin, `/2010-04-01/Accounts/${this.#accountSid}.json`, token);
  }

  resource(path: string, token: string): Promise<Reply> {
    return this.#get(this.origin, `/2010-04-01/Accounts/${this.#accountSid}/${path}`, token);
  }

  service(sid: string, token: string): Promise<Reply> {
    return this.#get(servicesOrigin(this.origin), `/v1/Services/${sid}`, token);
  }

  #get(origin: string, path: string, token: string): Promise<Reply> {
    const authorization = basicOf(this.#accountSid, token);
    return this.inquiry.get(origin, `${this.#prefix}${path}`, { authorization });
  }
}

export const checkTwilio: ChannelChecker = async (config, { timeoutMs, wallClockMs, webhookUrl }) => {
  if (config.twilio === undefined) throw new RoomlineError('config_invalid', { field: 'twilio', rule: 'required' });
  const { accountSid, from } = config.twilio;
  const inquiry = new Inquiry(timeoutMs, wallClockMs);
  const twilio = new TwilioInquiry(inquiry, config.baseUrl, accountSid);
  const token = config.accessToken.reveal();
  // A standard key may do everything but look at accounts and keys.
  const byKey = token.startsWith('SK');
  try {
    const account = await twilio.account(token);
    if (account.kind === 'none') return [inquiry.unreachable(account.code, twilio.origin)];
    const hidden = byKey && DENIED.has(account.status);
    const entry = hidden ? await twilio.resource('IncomingPhoneNumbers.json?PageSize=1', token) : account;
    if (entry.kind === 'none') return [inquiry.unreachable(entry.code, twilio.origin)];
    if (entry.status >= 300) return [refusalOf(entry, accountSid, inquiry, twilio.origin)];
    const [sender, secret] = await Promise.all([
      checkSender(twilio, from, token),
      checkSecrets(twilio, config.webhookSecrets),
    ]);
    const clock = inquiry.clock();
    return [
      ok('platform', `${twilio.origin} answers.`),
      ...(clock === null ? [] : [clock]),
      ok('token', `Twilio accepts ${byKey ? 'the API key' : 'the auth token'}.`),
      hidden
        ? notCheckable('account', 'key_may_not_ask', 'A standard API key may not look at the account: see the console.')
        : accountOf(account.fields ?? {}),
      sender,
      secret,
      webhookUrl === null
        ? failed('webhook_url', 'public_url_missing', 'Set http.publicUrl: each request names the address to call.')
        : ok('webhook_url', `Each request names ${webhookUrl}.`),
    ];
  } finally {
    await inquiry.close();
  }
};

function refusalOf(
  { status, fields }: Extract<Reply, { kind: 'answered' }>,
  accountSid: string,
  inquiry: Inquiry,
  origin: string,
): Finding {
  const code = readCode(fields?.code);
  // Without Twilio's code it is not Twilio that answers.
  if (code === null) return inquiry.unreachable(`http_${status}`, origin);
  if (DENIED.has(status)) {
    const detail = 'Twilio refuses accessToken: wrong, deleted, of another account, or the account is suspended.';
    return failed('token', code, detail);
  }
  if (status === 404) return failed('account', code, `Twilio knows no account ${accountSid} that this token may see.`);
  return failed('platform', code, 'Twilio refuses to tell about the account.');
}

function accountOf({ status, type }: Fields): Finding {
  const state = readCode(status) ?? 'not told';
  if (state === 'suspended' || state === 'closed')
    return failed('account', `account_${state}`, `The account is ${state}.`);
  if (type === 'Trial') {
    return warning(
      'account',
      'account_trial',
      'A trial account: it reaches verified numbers only, and adds its own words.',
    );
  }
  return ok('account', `The account is ${state}.`);
}

async function checkSender(twilio: TwilioInquiry, from: string, token: string): Promise<Finding> {
  if (isMessagingService(from)) return serviceOf(await twilio.service(from, token), from);
  if (/^\+\d+$/.test(from)) {
    const path = `IncomingPhoneNumbers.json?PhoneNumber=${encodeURIComponent(from)}`;
    return numberOf(await twilio.resource(path, token), 'incoming_phone_numbers', 'phone_number', from);
  }
  if (/^\d+$/.test(from)) {
    const path = `SMS/ShortCodes.json?ShortCode=${from}`;
    return numberOf(await twilio.resource(path, token), 'short_codes', 'short_code', from);
  }
  const where = from.startsWith('whatsapp:') ? 'Messaging › Senders › WhatsApp senders' : 'Messaging › Senders';
  return notCheckable('sender', 'not_told', `See in the console, under ${where}, that ${from} may send.`);
}

function serviceOf(reply: Reply, from: string): Finding {
  if (reply.kind === 'answered' && reply.status < 300 && reply.fields !== null) {
    const name = readText(reply.fields.friendly_name, 128);
    return ok('sender', `The messaging service is ${name ?? from}.`);
  }
  return unknownOr(reply, from);
}

function numberOf(reply: Reply, list: string, member: string, from: string): Finding {
  const listed = reply.kind === 'answered' && reply.status < 300 ? reply.fields?.[list] : null;
  if (!Array.isArray(listed)) return unknownOr(reply, from);
  const own = listed.find((each) => isFields(each) && each[member] === from) as Fields | undefined;
  if (own === undefined) return failed('sender', 'sender_unknown', `The account has no number ${from}.`);
  if (isFields(own.capabilities) && own.capabilities.sms === false) {
    return failed('sender', 'sender_cannot_sms', `The number ${from} cannot send messages.`);
  }
  return ok('sender', `The account has the number ${from}.`);
}

function unknownOr(reply: Reply, from: string): Finding {
  if (reply.kind === 'answered' && reply.status === 404 && readCode(reply.fields?.code) !== null) {
    return failed('sender', 'sender_unknown', `The account has no sender ${from}.`);
  }
  const code = reply.kind === 'none' ? reply.code : (readCode(reply.fields?.code) ?? `http_${reply.status}`);
  return notCheckable('sender', code, `See in the console that ${from} may send.`);
}

/** Callbacks are signed with the auth token: whichever the account accepts, signs. */
async function checkSecrets(twilio: TwilioInquiry, secrets: readonly Revealable[]): Promise<Finding> {
  const name = 'webhook_secret';
  const replies = await Promise.all(secrets.map((secret) => askAs(twilio, secret.reveal())));
  const which = replies.findIndex((reply) => reply.kind === 'answered' && reply.status < 300);
  if (which >= 0) {
    return ok(name, `Number ${which + 1} of ${secrets.length} in webhookSecrets is an auth token of the account.`);
  }
  const unclear = replies.find((reply) => reply.kind === 'none' || !DENIED.has(reply.status));
  if (unclear !== undefined) {
    const code = unclear.kind === 'none' ? unclear.code : `http_${unclear.status}`;
    return notCheckable(name, code, 'Compare webhookSecrets with the auth token in the console.');
  }
  const detail = 'None of webhookSecrets is an auth token of the account: every callback would be refused.';
  return failed(name, 'webhook_secret_wrong', detail);
}

/** What no header can carry is no auth token. */
async function askAs(twilio: TwilioInquiry, secret: string): Promise<Reply> {
  return /^[!-9;-~]+$/.test(secret) ? twilio.account(secret) : { kind: 'answered', status: 401, fields: null };
}
