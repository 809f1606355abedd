import type { IncomingHttpHeaders } from 'node:http';
import { bearer } from './generic.ts';
import { graphError, metaJson, metaSender } from './meta.ts';
import type { Answer, OtherRequest, Profile } from './profile.ts';
import type { Settings } from './settings.ts';

/**
 * What the Graph API tells of a sender, its token and its app when it is asked without sending. A channel's `about` is
 * laid over it: `id` (of the sender; another one is unknown then), `node` (its fields), `token` (of debug_token),
 * `subscribed` (fields that the sender's events are told by; `[]` for none), `fields` (of the app's webhook),
 * `callbackUrl`, and for Instagram `login`. The app's secret is the `secret` of a channel's webhook.
 */
export type Product = 'whatsapp' | 'messenger' | 'instagram';

type Fields = Record<string, unknown>;

export const APP = '104000000000009';
export const WABA = '900000000000001';
const BUSINESS = '900000000000003';

interface About {
  id?: string;
  node?: Fields;
  token?: Fields;
  subscribed?: string[];
  fields?: string[];
  callbackUrl?: string;
  login?: 'facebook' | 'instagram';
}

const OBJECTS = { whatsapp: 'whatsapp_business_account', messenger: 'page', instagram: 'instagram' } as const;
const APP_FIELDS = {
  whatsapp: ['messages'],
  messenger: ['messages', 'message_echoes', 'message_deliveries', 'message_reads'],
  instagram: ['messages', 'messaging_seen'],
} as const;
const SCOPES = {
  whatsapp: ['whatsapp_business_management', 'whatsapp_business_messaging'],
  messenger: ['pages_manage_metadata', 'pages_messaging'],
  instagram: ['instagram_manage_messages', 'pages_manage_metadata'],
} as const;

const json = (value: unknown): Answer => ({
  status: 200,
  headers: ['content-type', 'application/json; charset=UTF-8', 'facebook-api-version', 'v25.0'],
  body: metaJson(value),
});

const refuse = (code: number, message: string, subcode?: number): Answer =>
  graphError(
    { status: code === 190 ? 401 : 400, code: String(code), message },
    {
      defaultCode: code,
      subcode,
    },
  );

const UNKNOWN = (node: string): Answer =>
  refuse(100, `Unsupported get request. Object with ID '${node}' does not exist or cannot be loaded`, 33);

/** Paths of the API that are no sends. */
export const isGraphQuestion = (method: string, path: string): boolean =>
  method === 'GET' && /^\/v\d{1,3}\.\d{1,2}\//.test(path) && metaSender(path) === undefined;

const aboutOf = (channels: Settings['channels'], channel: string | undefined): About =>
  (channel === undefined ? {} : (channels[channel]?.about ?? {})) as About;

/** The channel whose app an app token `id|secret` is of. */
const channelOfApp = (headers: IncomingHttpHeaders, channels: Settings['channels']): string | undefined => {
  const [id, secret] = (bearer(headers) ?? '').split('|');
  if (id !== APP || secret === undefined) return undefined;
  return Object.keys(channels).find((name) => {
    const webhook = channels[name]?.webhook;
    return webhook !== undefined && (webhook.secret === secret || webhook.previousSecret === secret);
  });
};

export const graphNodes = (product: Product, self: string): NonNullable<Profile['other']> => {
  const callbackOf = ({ channels }: OtherRequest, channel: string): string | undefined =>
    aboutOf(channels, channel).callbackUrl ?? channels[channel]?.webhook?.urls[0];

  const subscriptions = (request: OtherRequest): Answer => {
    const channel = channelOfApp(request.headers, request.channels);
    if (channel === undefined) return refuse(190, 'Invalid OAuth access token signature.');
    const callback = callbackOf(request, channel);
    const names = aboutOf(request.channels, channel).fields ?? APP_FIELDS[product];
    const fields = names.map((name) => ({ name, version: 'v25.0' }));
    const own = { object: OBJECTS[product], callback_url: callback, active: true, fields };
    return json({ data: callback === undefined ? [] : [own] });
  };

  const debugToken = ({ channels, wallMs }: OtherRequest, channel: string, query: URLSearchParams): Answer => {
    if (aboutOf(channels, channel).login === 'instagram') return UNKNOWN('debug_token');
    const input = query.get('input_token');
    const named = Object.keys(channels).find((name) => channels[name]?.token === input) ?? channel;
    const { token } = aboutOf(channels, named);
    const issued = Math.floor(wallMs / 1_000) - 86_400;
    const life = { expires_at: 0, data_access_expires_at: 0, is_valid: true, issued_at: issued };
    const data = { app_id: APP, type: 'SYSTEM_USER', application: 'An app', ...life, scopes: SCOPES[product] };
    return json({ data: { ...data, ...token } });
  };

  const subscribedApps = ({ channels }: OtherRequest, channel: string): Answer => {
    const subscribed = aboutOf(channels, channel).subscribed ?? APP_FIELDS[product];
    if (subscribed.length === 0) return json({ data: [] });
    if (product === 'whatsapp') {
      return json({
        data: [{ whatsapp_business_api_data: { id: APP, name: 'An app', link: 'https://example.org/' } }],
      });
    }
    return json({ data: [{ id: APP, name: 'An app', category: 'Business', subscribed_fields: subscribed }] });
  };

  const nodeOf = (request: OtherRequest, channel: string, id: string): Fields => {
    const about = aboutOf(request.channels, channel);
    const callback = callbackOf(request, channel);
    switch (product) {
      case 'whatsapp':
        return { ...phoneNumber(id), webhook_configuration: { application: callback }, ...about.node };
      case 'messenger':
        return { id, name: 'A page', ...about.node };
      case 'instagram':
        return about.login === 'instagram'
          ? { id: '9900000000000001', user_id: about.id ?? self, username: 'an_account', ...about.node }
          : { id: PAGE, name: 'A page', instagram_business_account: { id: about.id ?? self }, ...about.node };
    }
  };

  return (request) => {
    const { path, channel, channels } = request;
    const [, rest = '', search = ''] = /^\/v[\d.]+\/([^?]*)(?:\?(.*))?$/.exec(path) ?? [];
    const [node = '', edge] = rest.split('/');
    if (node === APP && edge === 'subscriptions') return subscriptions(request);
    if (channel === undefined) return refuse(190, 'Invalid OAuth access token - Cannot parse access token');
    const query = new URLSearchParams(search);
    if (node === 'debug_token') return debugToken(request, channel, query);
    const { id = product === 'whatsapp' ? node : self } = aboutOf(channels, channel);
    const known = node === 'me' ? product !== 'whatsapp' : node === id || (product === 'whatsapp' && node === WABA);
    if (!known || !/^(me|\d+)$/.test(node)) return UNKNOWN(node);
    if (edge === 'subscribed_apps') return subscribedApps(request, channel);
    if (edge !== undefined) return refuse(2500, 'Unknown path components');
    const fields = nodeOf(request, channel, id);
    const wanted = (query.get('fields') ?? 'id').split(',');
    const missing = wanted.find((name) => !Object.hasOwn(fields, name));
    if (missing !== undefined) return refuse(100, `Tried accessing nonexisting field (${missing}) on node type (Node)`);
    return json({ ...Object.fromEntries(wanted.map((name) => [name, fields[name]])), id: fields.id });
  };
};

const PAGE = '104000000000001';

const phoneNumber = (id: string): Fields => ({
  id,
  display_phone_number: '+1 555-010-0002',
  verified_name: 'Roomline Test',
  quality_rating: 'GREEN',
  code_verification_status: 'VERIFIED',
  throughput: { level: 'STANDARD' },
  name_status: 'APPROVED',
  platform_type: 'CLOUD_API',
  status: 'CONNECTED',
  account_mode: 'LIVE',
  health_status: {
    can_send_message: 'AVAILABLE',
    entities: [
      { entity_type: 'PHONE_NUMBER', id, can_send_message: 'AVAILABLE' },
      { entity_type: 'WABA', id: WABA, can_send_message: 'AVAILABLE' },
      { entity_type: 'BUSINESS', id: BUSINESS, can_send_message: 'AVAILABLE' },
      { entity_type: 'APP', id: APP, can_send_message: 'AVAILABLE' },
    ],
  },
});
