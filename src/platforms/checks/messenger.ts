/** A page of the Messenger Platform: docs/channels/messenger.md. */
import { RoomlineError } from '../../errors.ts';
import { isFields, readId, readText } from '../fields.ts';
import {
  checkApp,
  compareAddress,
  compareFields,
  GraphInquiry,
  type GraphReply,
  namesOf,
  readToken,
  refusalOf,
  unanswered,
  type Wanted,
} from './graph.ts';
import { type ChannelChecker, type Finding, failed, ok } from './inquiry.ts';

const WANTED: Wanted = {
  object: 'page',
  required: ['message_echoes', 'message_deliveries'],
  useful: ['message_reads'],
};

export const checkMessenger: ChannelChecker = async (config, dependencies) => {
  if (config.messenger === undefined) {
    throw new RoomlineError('config_invalid', { field: 'messenger', rule: 'required' });
  }
  const { pageId, apiVersion } = config.messenger;
  const graph = new GraphInquiry(config, apiVersion, dependencies);
  try {
    // Whose token it is: another page's could read this page, but not write as it.
    const page = await graph.ask('/me?fields=id,name');
    if (page.kind === 'none') return [graph.inquiry.unreachable(page.code, graph.origin)];
    if (page.kind === 'error') return [refusalOf(page.error, `page ${pageId}`)];
    const [token, apps] = await Promise.all([graph.inspectToken(), graph.ask(`/${pageId}/subscribed_apps`)]);
    const { findings: ofToken, appId } = readToken(token, ['pages_messaging'], dependencies.wallClockMs());
    const app = await checkApp(graph, appId, config.webhookSecrets, WANTED);
    const clock = graph.inquiry.clock();
    const name = readText(page.fields.name, 128);
    return [
      ok('platform', `${graph.origin} answers.`),
      ...(clock === null ? [] : [clock]),
      ok('token', 'Meta accepts accessToken.'),
      ...ofToken,
      readId(page.fields.id) === pageId
        ? ok('sender', `The token is that of the page ${pageId}${name === null ? '' : ` (${name})`}.`)
        : failed(
            'sender',
            'sender_mismatch',
            `The token is not that of the page ${pageId}: generate a page access token.`,
          ),
      ...app.findings,
      readSubscribedApps(apps, appId, WANTED),
      compareAddress(app.callbackUrl, dependencies.webhookUrl),
    ];
  } finally {
    await graph.inquiry.close();
  }
};

const BY_HAND = 'See in the app dashboard which fields the page is subscribed to.';

/** Which of a sender's events the app is told of. */
export function readSubscribedApps(reply: GraphReply, appId: string | null, wanted: Wanted): Finding {
  const name = 'account_subscription';
  if (reply.kind !== 'fields') return unanswered(name, reply, BY_HAND);
  const apps = (Array.isArray(reply.fields.data) ? reply.fields.data : []).filter(isFields);
  // The token's app, where it is known; with Instagram Login the only one listed is the token's.
  const own =
    apps.find((app) => readId(app.id) === appId) ?? (appId === null && apps.length === 1 ? apps[0] : undefined);
  if (own === undefined) return failed(name, 'not_subscribed', "The token's app gets no webhooks of the sender.");
  return compareFields(name, namesOf(own.subscribed_fields), wanted);
}
