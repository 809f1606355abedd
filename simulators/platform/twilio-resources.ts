import type { Answer, OtherRequest } from './profile.ts';

/**
 * What Twilio tells of account and senders when it is asked. A channel's `about` may say `account` (laid over the
 * resource), `numbers` and `services` (those that the account has), and `mainKey` (an API key that may see the account).
 */
const RESOURCE =
  /^\/2010-04-01\/Accounts\/(AC[0-9a-f]{32})(\.json|\/IncomingPhoneNumbers\.json|\/SMS\/ShortCodes\.json)$/;
const SERVICE = /^\/v1\/Services\/(MG[0-9a-f]{32})$/;

const pathOf = (path: string): string => path.split('?', 1)[0] ?? '';

/** The account that a path is about; undefined: it names none. */
export const ownerOf = (path: string): string | undefined =>
  /^\/2010-04-01\/Accounts\/(AC[0-9a-f]{32})\b/.exec(path)?.[1];

export const isResource = (method: string, path: string): boolean =>
  method === 'GET' && (RESOURCE.test(pathOf(path)) || SERVICE.test(pathOf(path)));

const json = (status: number, value: unknown): Answer => ({
  status,
  headers: ['content-type', 'application/json'],
  body: JSON.stringify(value),
});

const refuse = (status: number, code: number, message: string): Answer =>
  json(status, { code, message, more_info: `https://www.twilio.com/docs/errors/${code}`, status });

/** User and password of the request. */
const basicOf = (authorization = ''): { user: string; password: string } => {
  const text = authorization.startsWith('Basic ') ? Buffer.from(authorization.slice(6), 'base64').toString() : '';
  const at = text.indexOf(':');
  return { user: text.slice(0, Math.max(0, at)), password: text.slice(at + 1) };
};

/** The channel whose token it is, or whose callbacks the password signs: the auth token of the account. */
const asking = ({ path, channel, channels, headers }: OtherRequest): string | undefined => {
  const { user, password } = basicOf(headers.authorization);
  if (channel !== undefined || !user.startsWith('AC') || user !== (ownerOf(path) ?? user)) return channel;
  return Object.keys(channels).find((name) => {
    const webhook = channels[name]?.webhook;
    return webhook !== undefined && (webhook.secret === password || webhook.previousSecret === password);
  });
};

export const answerResource = (request: OtherRequest): Answer => {
  const channel = asking(request);
  if (channel === undefined) return refuse(401, 20003, 'Authenticate');
  const about = request.channels[channel]?.about ?? {};
  const { numbers = ['+15550100002'], services } = about as { numbers?: string[]; services?: string[] };
  const path = pathOf(request.path);
  const query = new URL(request.path, 'http://platform').searchParams;
  const [, service] = SERVICE.exec(path) ?? [];
  if (service !== undefined) {
    if (services !== undefined && !services.includes(service)) return refuse(404, 20404, 'The resource was not found');
    return json(200, { sid: service, friendly_name: 'A service' });
  }
  const [, account, what] = RESOURCE.exec(path) ?? [];
  if (what === '.json') {
    // A standard key may see everything but accounts and keys.
    const isKey = basicOf(request.headers.authorization).user.startsWith('SK');
    if (isKey && about.mainKey !== true) return refuse(401, 20003, 'Authenticate');
    const own = about.account as Record<string, unknown> | undefined;
    return json(200, { sid: account, friendly_name: 'An account', status: 'active', type: 'Full', ...own });
  }
  const [list, member, filter] =
    what === '/IncomingPhoneNumbers.json'
      ? ['incoming_phone_numbers', 'phone_number', 'PhoneNumber']
      : ['short_codes', 'short_code', 'ShortCode'];
  const asked = query.get(filter);
  const found = numbers.filter((number) => asked === null || number === asked);
  const capabilities = { sms: true, mms: true, voice: true };
  return json(200, { [list]: found.map((number) => ({ [member]: number, capabilities })), page: 0 });
};
