/** A Telegram bot: docs/channels/telegram.md. */
import { type Fields, isFields, readText } from '../fields.ts';
import {
  type ChannelChecker,
  dayOf,
  type Finding,
  failed,
  hostOf,
  Inquiry,
  notCheckable,
  ok,
  type Reply,
  sameAddress,
  splitBase,
  warning,
  withoutPublicUrl,
} from './inquiry.ts';

/** Updates that wait, beyond which the address does not take them fast enough. */
const MANY_UPDATES = 100;

export const checkTelegram: ChannelChecker = async (config, { timeoutMs, wallClockMs, webhookUrl }) => {
  const { origin, prefix } = splitBase(config.baseUrl);
  const bot = `${prefix}/bot${config.accessToken.reveal()}`;
  const inquiry = new Inquiry(timeoutMs, wallClockMs);
  try {
    const me = await inquiry.get(origin, `${bot}/getMe`, {});
    if (me.kind === 'none') return [inquiry.unreachable(me.code, origin)];
    const itself = resultOf(me);
    if (itself === null) return [refusalOf(me, inquiry, origin)];
    const webhook = await inquiry.get(origin, `${bot}/getWebhookInfo`, {});
    const clock = inquiry.clock();
    const name = readText(itself.username, 64);
    return [
      ok('platform', `${origin} answers.`),
      ...(clock === null ? [] : [clock]),
      ok('token', 'Telegram accepts accessToken.'),
      ok('sender', `The bot is ${name === null ? 'without a name' : `@${name}`}.`),
      ...readWebhook(webhook, webhookUrl),
      notCheckable(
        'webhook_secret',
        'not_told',
        'Telegram does not tell the secret_token. Where in doubt, call setWebhook again with one of webhookSecrets.',
      ),
    ];
  } finally {
    await inquiry.close();
  }
};

function resultOf(reply: Reply): Fields | null {
  const fields = reply.kind === 'answered' && reply.status < 300 ? reply.fields : null;
  return fields?.ok === true && isFields(fields.result) ? fields.result : null;
}

function refusalOf(reply: Extract<Reply, { kind: 'answered' }>, inquiry: Inquiry, origin: string): Finding {
  const code = reply.fields?.ok === false && Number.isInteger(reply.fields.error_code) ? reply.fields.error_code : null;
  if (code === null) {
    return inquiry.unreachable(reply.status < 300 ? 'answer_unreadable' : `http_${reply.status}`, origin);
  }
  // 404 is what a token of another form, or of another server, is answered.
  if (code === 401 || code === 404) {
    return failed('token', String(code), 'Telegram refuses accessToken: take the one that BotFather shows.');
  }
  return failed('platform', String(code), 'Telegram refuses to tell about the bot.');
}

/** Sending needs no webhook, so that nothing here is a failure. */
function readWebhook(reply: Reply, webhookUrl: string | null): Finding[] {
  const name = 'webhook_url';
  const info = resultOf(reply);
  if (info === null) {
    const code = reply.kind === 'none' ? reply.code : `http_${reply.status}`;
    return [notCheckable(name, code, 'Telegram does not tell the address: ask getWebhookInfo yourself.')];
  }
  const url = typeof info.url === 'string' ? info.url : '';
  if (url === '') return [ok(name, 'No webhook is set, and none is needed for sending.')];
  if (webhookUrl === null) return [withoutPublicUrl(name)];
  if (!sameAddress(url, webhookUrl)) {
    const where = hostOf(url) === hostOf(webhookUrl) ? `another path of ${hostOf(url)}` : hostOf(url);
    const detail = `Updates go to ${where}, not to ${webhookUrl}: right where another program takes them.`;
    return [warning(name, 'webhook_elsewhere', detail)];
  }
  return [ok(name, `Updates go to ${webhookUrl}.`), ...ofAddress(info)];
}

function ofAddress(info: Fields): Finding[] {
  const findings = [deliveryOf(info)];
  if (info.has_custom_certificate === true) {
    const detail = 'A certificate of your own making is set, which only counts as long as the address serves it.';
    findings.push(warning('webhook_certificate', 'custom_certificate', detail));
  }
  const kinds = Array.isArray(info.allowed_updates)
    ? info.allowed_updates.filter((kind) => typeof kind === 'string')
    : [];
  const told = kinds.map((kind) => kind.replaceAll(/[^a-z_]/g, '?').slice(0, 32)).join(', ');
  findings.push(
    ok('webhook_subscription', kinds.length === 0 ? 'The usual kinds of update.' : `Kinds of update: ${told}.`),
  );
  return findings;
}

function deliveryOf(info: Fields): Finding {
  const name = 'webhook_delivery';
  const waiting = typeof info.pending_update_count === 'number' ? info.pending_update_count : 0;
  const message = typeof info.last_error_message === 'string' ? info.last_error_message : '';
  const at =
    typeof info.last_error_date === 'number' && info.last_error_date < 8e12 ? info.last_error_date * 1_000 : null;
  if (message !== '') {
    const code = codeOfError(message);
    const when = at === null ? '' : ` (${dayOf(at)})`;
    const secret = code === 'webhook_answered_401' ? ' The secret_token may be another one than webhookSecrets.' : '';
    return warning(name, code, `The last failed call${when}: ${code}. ${waiting} updates wait.${secret}`);
  }
  if (waiting > MANY_UPDATES) return warning(name, 'updates_pending', `${waiting} updates wait.`);
  return ok(name, `No call has failed, ${waiting} updates wait.`);
}

/** Telegram's words for what went wrong; they may quote the address, so that only a code is taken over. */
const ERRORS: readonly (readonly [RegExp, string])[] = [
  [/connection refused/i, 'webhook_refused'],
  [/timed out|timeout/i, 'webhook_timeout'],
  [/ssl|certificate|tls/i, 'webhook_tls'],
  [/resolve|host/i, 'webhook_dns'],
  [/reset|closed/i, 'webhook_reset'],
];

function codeOfError(message: string): string {
  const [, status] = /wrong response from the webhook: (\d{3})/i.exec(message) ?? [];
  if (status !== undefined) return `webhook_answered_${status}`;
  return ERRORS.find(([words]) => words.test(message))?.[1] ?? 'webhook_failed';
}
