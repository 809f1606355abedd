/** A gateway that speaks the protocol of docs/generic-http-platform.md. */
import { bearerOf } from '../bearer.ts';
import {
  type ChannelChecker,
  type Finding,
  failed,
  Inquiry,
  notCheckable,
  ok,
  type Reply,
  splitBase,
} from './inquiry.ts';

/** Nobody's: a lookup of it finds nothing. */
const REFERENCE = 'roomline-check';

export const checkGeneric: ChannelChecker = async (config, { timeoutMs, wallClockMs, webhookUrl }) => {
  const { origin, prefix } = splitBase(config.baseUrl);
  const headers = { authorization: bearerOf(config.accessToken.reveal()) };
  const inquiry = new Inquiry(timeoutMs, wallClockMs);
  try {
    const health = await inquiry.get(origin, `${prefix}/v1/health`, headers);
    if (health.kind === 'none') return [inquiry.unreachable(health.code, origin)];
    const lookup = config.lookup
      ? await inquiry.get(origin, `${prefix}/v1/messages?reference=${REFERENCE}`, headers)
      : null;
    const clock = inquiry.clock();
    return [
      ok('platform', `${origin} answers.`),
      ...(clock === null ? [] : [clock]),
      tokenOf(health, lookup),
      ...(lookup === null ? [] : [lookupOf(lookup)]),
      notCheckable(
        'webhook_url',
        'not_told',
        webhookUrl === null
          ? 'Set http.publicUrl, and give the gateway the address of this channel below it.'
          : `See that the gateway sends its webhooks to ${webhookUrl}.`,
      ),
      notCheckable('webhook_secret', 'not_told', 'See that the gateway signs with one of webhookSecrets.'),
    ];
  } finally {
    await inquiry.close();
  }
};

/** Health is optional; a lookup shows the same. */
function tokenOf(health: Extract<Reply, { kind: 'answered' }>, lookup: Reply | null): Finding {
  const refused = [health, lookup].find(
    (reply) => reply?.kind === 'answered' && (reply.status === 401 || reply.status === 403),
  );
  if (refused?.kind === 'answered') {
    return failed('token', `http_${refused.status}`, 'The gateway refuses accessToken.');
  }
  const answersLookups = lookup?.kind === 'answered' && (lookup.status === 200 || lookup.status === 404);
  if (health.status < 300 || answersLookups) return ok('token', 'The gateway accepts accessToken.');
  return notCheckable(
    'token',
    `http_${health.status}`,
    'The gateway has no /v1/health: only a message shows the rest.',
  );
}

function lookupOf(reply: Reply): Finding {
  const code = reply.kind === 'none' ? reply.code : `http_${reply.status}`;
  if (code === 'http_200' || code === 'http_404') return ok('lookup', 'The gateway answers lookups.');
  return failed('lookup', code, 'The channel says "lookup": true, and the gateway does not answer lookups.');
}
