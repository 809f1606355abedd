/** What WhatsApp, Messenger and Instagram can be asked in common, by Meta's Graph API. */
import { bearerOf } from '../bearer.ts';
import { type Fields, isFields, readId, readText } from '../fields.ts';
import { type GraphError, readGraphError } from '../meta/error.ts';
import type { PlatformChannelConfig, PlatformDependencies, Revealable } from '../platform.ts';
import {
  dayOf,
  type Finding,
  failed,
  hostOf,
  Inquiry,
  isOurs,
  notCheckable,
  ok,
  sameAddress,
  splitBase,
  warning,
  withoutPublicUrl,
} from './inquiry.ts';

export type GraphReply =
  | { readonly kind: 'fields'; readonly fields: Fields }
  | { readonly kind: 'error'; readonly error: GraphError }
  | { readonly kind: 'none'; readonly code: string };

const DAY_MS = 86_400_000;
/** A token that ends sooner than this is worth a warning. */
const SOON_MS = 14 * DAY_MS;

/** Tokens: expired, revoked, of a user that changed the password, signed by another app. */
const TOKEN_CODES = new Set([0, 101, 102, 190, 463, 467]);
const TOKEN_WORDS: Readonly<Record<number, string>> = {
  458: 'The app was removed by who authorised it.',
  460: 'It ended because a password was changed.',
  463: 'It has expired.',
  467: 'It was revoked.',
};
/** Too many requests: of the app, the user, the page, the account. */
const LIMIT_CODES = new Set([4, 17, 32, 613, 80_000, 80_001, 80_002, 80_006, 80_007, 80_008, 80_014]);

/** Asks the Graph API with the channel's token, unless another one is given. */
export class GraphInquiry {
  readonly inquiry: Inquiry;
  readonly origin: string;
  readonly #prefix: string;
  readonly #token: string;

  constructor(
    config: PlatformChannelConfig,
    apiVersion: string,
    { timeoutMs, wallClockMs }: PlatformDependencies & { readonly timeoutMs: number },
  ) {
    const { origin, prefix } = splitBase(config.baseUrl);
    this.inquiry = new Inquiry(timeoutMs, wallClockMs);
    this.origin = origin;
    this.#prefix = `${prefix}/${apiVersion}`;
    this.#token = config.accessToken.reveal();
  }

  /** @param path such as `/me?fields=id` */
  async ask(path: string, token = this.#token): Promise<GraphReply> {
    const reply = await this.inquiry.get(this.origin, `${this.#prefix}${path}`, { authorization: bearerOf(token) });
    if (reply.kind === 'none') return reply;
    const { status, fields } = reply;
    const error = fields?.error === undefined ? null : readGraphError(fields);
    if (error !== null) return { kind: 'error', error };
    if (status >= 300) return { kind: 'none', code: `http_${status}` };
    return fields === null ? { kind: 'none', code: 'answer_unreadable' } : { kind: 'fields', fields };
  }

  /** What is known of the token by the token itself. */
  inspectToken(): Promise<GraphReply> {
    return this.ask(`/debug_token?input_token=${encodeURIComponent(this.#token)}`);
  }
}

export function codeOf({ code, subcode }: GraphError): string {
  return subcode === null ? String(code) : `${code}_${subcode}`;
}

/** The finding where the first question, about the sender itself, was refused. */
export function refusalOf(error: GraphError, sender: string): Finding {
  const code = codeOf(error);
  if (TOKEN_CODES.has(error.code)) {
    const why = TOKEN_WORDS[error.subcode ?? 0] ?? 'It is wrong, or no longer valid.';
    return failed('token', code, `Meta refuses accessToken. ${why} Generate a new one.`);
  }
  if (LIMIT_CODES.has(error.code)) return warning('platform', code, 'Meta refuses more requests for now: try later.');
  if (error.code === 3 || error.code === 10 || (error.code >= 200 && error.code <= 299)) {
    return failed('permissions', code, `The token may not read ${sender}: give it the permissions of the guide.`);
  }
  if (error.code === 100 || error.code === 803) {
    return failed(
      'sender',
      code,
      `Meta knows no ${sender} that this token may see: check the id and the token's assets.`,
    );
  }
  return failed('platform', code, `Meta refuses to tell about ${sender}.`);
}

/** Why something that is not needed for sending could not be asked. */
export function unanswered(name: string, reply: Exclude<GraphReply, { kind: 'fields' }>, byHand: string): Finding {
  const code = reply.kind === 'error' ? codeOf(reply.error) : reply.code;
  return notCheckable(name, code, byHand);
}

export interface TokenFacts {
  readonly findings: readonly Finding[];
  /** The app that the token was made for. */
  readonly appId: string | null;
}

/**
 * Life and permissions of the token.
 * @param permissions one of them is needed for sending
 */
export function readToken(reply: GraphReply, permissions: readonly string[], nowMs: number): TokenFacts {
  const data = reply.kind === 'fields' && isFields(reply.fields.data) ? reply.fields.data : null;
  if (data === null) {
    const refused = reply.kind === 'fields' ? ({ kind: 'none', code: 'answer_unreadable' } as const) : reply;
    const byHand = 'Meta does not tell about this token: look at it in the Access Token Debugger.';
    return {
      findings: [unanswered('token_expiry', refused, byHand), unanswered('permissions', refused, byHand)],
      appId: null,
    };
  }
  return { findings: [expiryOf(data, nowMs), permissionsOf(data, permissions)], appId: readId(data.app_id) };
}

function expiryOf({ expires_at: token, data_access_expires_at: access }: Fields, nowMs: number): Finding {
  // 0: never.
  const ends = [token, access].filter((at): at is number => typeof at === 'number' && at > 0);
  if (ends.length === 0) return ok('token_expiry', 'The token does not expire.');
  const endsMs = Math.min(...ends) * 1_000;
  const leftDays = Math.max(0, Math.floor((endsMs - nowMs) / DAY_MS));
  if (!Number.isSafeInteger(endsMs) || endsMs > 8e15) {
    return notCheckable('token_expiry', 'answer_unreadable', 'Meta names no date that can be read.');
  }
  if (endsMs - nowMs > SOON_MS) return ok('token_expiry', `The token is good until ${dayOf(endsMs)}.`);
  const better = 'Use one that does not expire (of a system user), or renew it in time.';
  return warning('token_expiry', 'expires_soon', `The token ends on ${dayOf(endsMs)}, in ${leftDays} days. ${better}`);
}

function permissionsOf({ scopes }: Fields, permissions: readonly string[]): Finding {
  if (!Array.isArray(scopes)) {
    return notCheckable(
      'permissions',
      'not_told',
      `Meta does not list the token's permissions: ${permissions[0]} is needed.`,
    );
  }
  const has = permissions.find((permission) => scopes.includes(permission));
  if (has !== undefined) return ok('permissions', `The token has ${has}.`);
  return failed('permissions', 'permission_missing', `The token lacks ${permissions.join(' or ')}.`);
}

export interface Wanted {
  /** What calls are about, at Meta. */
  readonly object: string;
  /** Without these, acks do not come. */
  readonly required: readonly string[];
  /** Without these, something else is not told. */
  readonly useful: readonly string[];
}

export interface AppFacts {
  readonly findings: readonly Finding[];
  /** Where the app has its webhooks of this object sent. */
  readonly callbackUrl: string | null;
}

const SECRET_BY_HAND = 'Compare webhookSecrets with the app secret under App settings › Basic.';
const FIELDS_BY_HAND = 'See in the app dashboard that the webhook is subscribed to';

/** The app's own answer to each of the secrets: only the app secret makes a token of the app. */
export async function checkApp(
  graph: GraphInquiry,
  appId: string | null,
  secrets: readonly Revealable[],
  wanted: Wanted,
): Promise<AppFacts> {
  const subscribed = `${FIELDS_BY_HAND} ${[...wanted.required, ...wanted.useful].join(', ')}.`;
  const blind = (code: string): AppFacts => ({
    findings: [
      notCheckable('webhook_secret', code, SECRET_BY_HAND),
      notCheckable('webhook_subscription', code, subscribed),
    ],
    callbackUrl: null,
  });
  if (appId === null) return blind('app_unknown');
  const replies = await Promise.all(secrets.map((secret) => askAsApp(graph, appId, secret.reveal())));
  const accepted = replies.find((reply) => reply.kind === 'fields');
  if (accepted === undefined) {
    const unclear = replies.find((reply) => reply.kind !== 'error' || !TOKEN_CODES.has(reply.error.code));
    if (unclear?.kind === 'error') return blind(codeOf(unclear.error));
    if (unclear?.kind === 'none') return blind(unclear.code);
    const detail = `None of webhookSecrets is the secret of the token's app: every webhook would be refused. ${SECRET_BY_HAND}`;
    return {
      findings: [
        failed('webhook_secret', 'webhook_secret_wrong', detail),
        notCheckable('webhook_subscription', 'webhook_secret_wrong', subscribed),
      ],
      callbackUrl: null,
    };
  }
  const which = replies.indexOf(accepted) + 1;
  const secret = ok('webhook_secret', `${ordinal(which, secrets.length)} is the secret of the app.`);
  const data = Array.isArray(accepted.fields.data) ? accepted.fields.data : [];
  const own = data.find((each) => isFields(each) && each.object === wanted.object) as Fields | undefined;
  const callbackUrl = readText(own?.callback_url, 2_048);
  return { findings: [secret, subscriptionOf(own, wanted)], callbackUrl };
}

/** An app secret is 32 hex digits; what no header can carry is none. */
async function askAsApp(graph: GraphInquiry, appId: string, secret: string): Promise<GraphReply> {
  if (/^[!-~]+$/.test(secret)) return graph.ask(`/${appId}/subscriptions`, `${appId}|${secret}`);
  return { kind: 'error', error: { code: 190, subcode: null, transient: false, said: {} } };
}

function ordinal(which: number, of: number): string {
  return of === 1 ? 'webhookSecrets' : `One of webhookSecrets (number ${which} of ${of})`;
}

function subscriptionOf(own: Fields | undefined, wanted: Wanted): Finding {
  const name = 'webhook_subscription';
  if (own === undefined || own.active === false) {
    return failed(
      name,
      'not_subscribed',
      `The app has no active webhook for ${wanted.object}: set it up in the dashboard.`,
    );
  }
  return compareFields(name, namesOf(own.fields), wanted);
}

/** @param name of the finding */
export function compareFields(name: string, subscribed: readonly string[], wanted: Wanted): Finding {
  const missing = wanted.required.filter((field) => !subscribed.includes(field));
  if (missing.length > 0)
    return failed(name, 'field_missing', `Not subscribed to ${missing.join(', ')}: acks would not come.`);
  const useful = wanted.useful.filter((field) => !subscribed.includes(field));
  if (useful.length > 0) return warning(name, 'field_missing', `Not subscribed to ${useful.join(', ')}.`);
  const all = [...wanted.required, ...wanted.useful];
  return ok(name, all.length === 0 ? 'The app gets webhooks of the sender.' : `Subscribed to ${all.join(', ')}.`);
}

/** Fields come as names, or as objects with a name and a version. */
export function namesOf(fields: unknown): readonly string[] {
  if (!Array.isArray(fields)) return [];
  return fields.map((field) => (isFields(field) ? field.name : field)).filter((field) => typeof field === 'string');
}

/** Whether webhooks come to this listener. Channels of one app share an address: any of ours will do. */
export function compareAddress(callbackUrl: string | null, webhookUrl: string | null): Finding {
  const name = 'webhook_url';
  if (webhookUrl === null) return withoutPublicUrl(name);
  if (callbackUrl === null) {
    return notCheckable(name, 'not_told', `See in the app dashboard that the callback URL is ${webhookUrl}.`);
  }
  if (sameAddress(callbackUrl, webhookUrl)) return ok(name, `Webhooks go to ${webhookUrl}.`);
  if (isOurs(callbackUrl, webhookUrl)) return ok(name, 'Webhooks go to another channel here, which shares its app.');
  const where = hostOf(callbackUrl);
  const there = where === hostOf(webhookUrl) ? `another path of ${where}` : where;
  return failed(name, 'webhook_elsewhere', `Webhooks go to ${there}, not to ${webhookUrl}: acks would not come.`);
}
