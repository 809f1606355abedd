/** A business number of the WhatsApp Cloud API: docs/channels/whatsapp.md. */
import { RoomlineError } from '../../errors.ts';
import { type Fields, isFields, readCode, readId, readText } from '../fields.ts';
import { checkApp, compareAddress, GraphInquiry, type GraphReply, readToken, refusalOf, unanswered } from './graph.ts';
import { type ChannelChecker, type Finding, failed, notCheckable, ok, warning } from './inquiry.ts';

const NUMBER_FIELDS = [
  'display_phone_number',
  'verified_name',
  'quality_rating',
  'code_verification_status',
  'throughput',
  'name_status',
  'platform_type',
  'status',
];
const WANTED = { object: 'whatsapp_business_account', required: ['messages'], useful: [] } as const;
const APPS_BY_HAND = 'See in the app dashboard, under WhatsApp › Configuration, that webhooks of the account are on.';

export const checkWhatsApp: ChannelChecker = async (config, dependencies) => {
  if (config.whatsapp === undefined) throw new RoomlineError('config_invalid', { field: 'whatsapp', rule: 'required' });
  const { phoneNumberId, apiVersion } = config.whatsapp;
  const graph = new GraphInquiry(config, apiVersion, dependencies);
  try {
    const number = await graph.ask(`/${phoneNumberId}?fields=${NUMBER_FIELDS.join()}`);
    if (number.kind === 'none') return [graph.inquiry.unreachable(number.code, graph.origin)];
    if (number.kind === 'error') return [refusalOf(number.error, `number ${phoneNumberId}`)];
    const [health, token, webhook] = await Promise.all([
      graph.ask(`/${phoneNumberId}?fields=health_status`),
      graph.inspectToken(),
      graph.ask(`/${phoneNumberId}?fields=webhook_configuration`),
    ]);
    const { findings: ofToken, appId } = readToken(token, ['whatsapp_business_messaging'], dependencies.wallClockMs());
    const { wabaId, finding: ofHealth } = readHealth(health);
    const [app, account] = await Promise.all([
      checkApp(graph, appId, config.webhookSecrets, WANTED),
      checkAccount(graph, wabaId, appId),
    ]);
    const clock = graph.inquiry.clock();
    return [
      ok('platform', `${graph.origin} answers.`),
      ...(clock === null ? [] : [clock]),
      ok('token', 'Meta accepts accessToken.'),
      ...ofToken,
      ...readNumber(number.fields),
      ofHealth,
      ...app.findings,
      account,
      compareAddress(readWebhook(webhook) ?? app.callbackUrl, dependencies.webhookUrl),
    ];
  } finally {
    await graph.inquiry.close();
  }
};

/** These numbers send nothing. */
const DEAD = new Set(['BANNED', 'DELETED', 'DISCONNECTED', 'MIGRATED', 'PENDING', 'UNVERIFIED']);
/** These do, for now or in part. */
const AILING = new Set(['FLAGGED', 'RESTRICTED', 'RATE_LIMITED']);

function readNumber(fields: Fields): Finding[] {
  const shown = readText(fields.display_phone_number, 32) ?? 'unknown';
  const called = readText(fields.verified_name, 128);
  const level = isFields(fields.throughput) ? readCode(fields.throughput.level) : null;
  const speed = level === null ? '' : `, throughput ${level}`;
  return [
    ok('sender', `The number is ${shown}${called === null ? '' : ` (${called})`}${speed}.`),
    stateOf(fields),
    qualityOf(fields),
  ];
}

function stateOf(fields: Fields): Finding {
  const name = 'sender_state';
  const status = readCode(fields.status) ?? 'not told';
  const platform = readCode(fields.platform_type);
  if (platform !== null && platform !== 'CLOUD_API') {
    return failed(name, 'not_registered', `The number is not registered with the Cloud API (platform ${platform}).`);
  }
  if (DEAD.has(status)) return failed(name, `number_${status.toLowerCase()}`, `The number's status is ${status}.`);
  if (AILING.has(status)) return warning(name, `number_${status.toLowerCase()}`, `The number's status is ${status}.`);
  if (fields.code_verification_status === 'NOT_VERIFIED') {
    return warning(name, 'number_not_verified', 'The number has not been verified by a code.');
  }
  const named = readCode(fields.name_status);
  if (named === 'DECLINED') return warning(name, 'name_declined', 'Meta has declined the display name.');
  return ok(name, `Status ${status}, registered with the Cloud API.`);
}

function qualityOf({ quality_rating: rating }: Fields): Finding {
  const quality = readCode(rating) ?? 'UNKNOWN';
  if (quality === 'YELLOW' || quality === 'RED') {
    return warning(
      'sender_quality',
      `quality_${quality.toLowerCase()}`,
      `Users rate the number ${quality}: limits may fall.`,
    );
  }
  return ok('sender_quality', `Quality ${quality}.`);
}

/** Everything that takes part in sending (number, account, business, app), as Meta sees it. */
function readHealth(reply: GraphReply): { readonly wabaId: string | null; readonly finding: Finding } {
  const name = 'sender_health';
  const health = reply.kind === 'fields' ? reply.fields.health_status : null;
  if (reply.kind !== 'fields' || !isFields(health)) {
    const refused = reply.kind === 'fields' ? ({ kind: 'none', code: 'not_told' } as const) : reply;
    const finding = unanswered(name, refused, 'Look at the account in WhatsApp Manager.');
    return { wabaId: null, finding };
  }
  const entities = (Array.isArray(health.entities) ? health.entities : []).filter(isFields);
  const wabaId = readId(entities.find((entity) => entity.entity_type === 'WABA')?.id);
  return { wabaId, finding: healthOf(name, readCode(health.can_send_message), entities) };
}

function healthOf(name: string, overall: string | null, entities: readonly Fields[]): Finding {
  const those = entities
    .filter(({ can_send_message: state }) => state === overall)
    .map((entity) => [readCode(entity.entity_type) ?? 'unknown', ...errorCodes(entity.errors)].join(' '));
  const where = those.length === 0 ? '' : `: ${those.join(', ')}`;
  switch (overall) {
    case 'AVAILABLE':
      return ok(name, 'Number, account, business and app can send.');
    case 'LIMITED':
      return warning(name, 'health_limited', `Meta limits sending${where}. WhatsApp Manager says why.`);
    case 'BLOCKED':
      return failed(name, 'health_blocked', `Meta blocks sending${where}. WhatsApp Manager says why.`);
    default:
      return notCheckable(name, 'not_told', 'Look at the account in WhatsApp Manager.');
  }
}

function errorCodes(errors: unknown): readonly string[] {
  const list = Array.isArray(errors) ? errors.filter(isFields) : [];
  return list.map((error) => readCode(error.error_code)).filter((code) => code !== null);
}

/** Whether the token's app is told of what happens in the number's account. */
async function checkAccount(graph: GraphInquiry, wabaId: string | null, appId: string | null): Promise<Finding> {
  const name = 'account_subscription';
  if (wabaId === null) return notCheckable(name, 'account_unknown', APPS_BY_HAND);
  const reply = await graph.ask(`/${wabaId}/subscribed_apps`);
  if (reply.kind !== 'fields') return unanswered(name, reply, APPS_BY_HAND);
  const apps = (Array.isArray(reply.fields.data) ? reply.fields.data : [])
    .map((each) => (isFields(each) && isFields(each.whatsapp_business_api_data) ? each.whatsapp_business_api_data : {}))
    .map((app) => readId(app.id));
  if (apps.length === 0) {
    return failed(name, 'not_subscribed', `No app gets webhooks of the account ${wabaId}: acks would not come.`);
  }
  if (appId === null) return notCheckable(name, 'app_unknown', APPS_BY_HAND);
  if (apps.includes(appId)) return ok(name, `The app gets webhooks of the account ${wabaId}.`);
  return failed(name, 'not_subscribed', `Other apps get webhooks of the account ${wabaId}, the token's app does not.`);
}

/** The address that counts: the number's own, else the account's, else the app's. */
function readWebhook(reply: GraphReply): string | null {
  const found = reply.kind === 'fields' ? reply.fields.webhook_configuration : null;
  if (!isFields(found)) return null;
  const { phone_number: ofNumber, whatsapp_business_account: ofAccount, application: ofApp } = found;
  return readText(ofNumber, 2_048) ?? readText(ofAccount, 2_048) ?? readText(ofApp, 2_048);
}
