/** A professional account of Instagram: docs/channels/instagram.md. */
import { RoomlineError } from '../../errors.ts';
import { type Fields, isFields, readId, readText } from '../fields.ts';
import { checkApp, compareAddress, GraphInquiry, readToken, refusalOf, type Wanted } from './graph.ts';
import { type ChannelChecker, type Finding, failed, ok } from './inquiry.ts';
import { readSubscribedApps } from './messenger.ts';

const WANTED: Wanted = { object: 'instagram', required: ['messages'], useful: ['messaging_seen'] };
const PERMISSIONS = ['instagram_manage_messages', 'instagram_business_manage_messages'];
/** With Facebook Login the page is subscribed, by any field; what is told of the account is the app's choice. */
const ANY_FIELD: Wanted = { object: 'page', required: [], useful: [] };

/** The two logins want different questions, and each answers the other's by "nonexisting field" (100). */
const QUESTIONS = {
  facebook: '/me?fields=id,name,instagram_business_account',
  instagram: '/me?fields=user_id,username',
} as const;
type Login = keyof typeof QUESTIONS;

export const checkInstagram: ChannelChecker = async (config, dependencies) => {
  if (config.instagram === undefined) {
    throw new RoomlineError('config_invalid', { field: 'instagram', rule: 'required' });
  }
  const { accountId, apiVersion } = config.instagram;
  const graph = new GraphInquiry(config, apiVersion, dependencies);
  try {
    const usual: Login = new URL(config.baseUrl).hostname === 'graph.instagram.com' ? 'instagram' : 'facebook';
    const other: Login = usual === 'facebook' ? 'instagram' : 'facebook';
    let login: Login = usual;
    let account = await graph.ask(QUESTIONS[usual]);
    if (account.kind === 'error' && account.error.code === 100) {
      login = other;
      account = await graph.ask(QUESTIONS[other]);
    }
    if (account.kind === 'none') return [graph.inquiry.unreachable(account.code, graph.origin)];
    if (account.kind === 'error') return [refusalOf(account.error, `account ${accountId}`)];
    const [token, apps] = await Promise.all([graph.inspectToken(), graph.ask('/me/subscribed_apps')]);
    const { findings: ofToken, appId } = readToken(token, PERMISSIONS, dependencies.wallClockMs());
    const app = await checkApp(graph, appId, config.webhookSecrets, WANTED);
    const clock = graph.inquiry.clock();
    return [
      ok('platform', `${graph.origin} answers.`),
      ...(clock === null ? [] : [clock]),
      ok('token', 'Meta accepts accessToken.'),
      ...ofToken,
      senderOf(account.fields, login, accountId),
      ...app.findings,
      readSubscribedApps(apps, appId, login === 'facebook' ? ANY_FIELD : WANTED),
      compareAddress(app.callbackUrl, dependencies.webhookUrl),
    ];
  } finally {
    await graph.inquiry.close();
  }
};

function senderOf(fields: Fields, login: Login, accountId: string): Finding {
  const linked = isFields(fields.instagram_business_account) ? fields.instagram_business_account : {};
  const id = readId(login === 'facebook' ? linked.id : fields.user_id);
  const called = readText(login === 'facebook' ? fields.name : fields.username, 128);
  const name = called === null ? '' : ` (${called})`;
  if (id === accountId) {
    const whose = login === 'facebook' ? 'of the page of the account' : 'of the account';
    return ok('sender', `The token is ${whose} ${accountId}${name}.`);
  }
  if (id === null && login === 'facebook') {
    return failed('sender', 'sender_unknown', `No Instagram account is linked to the token's page${name}.`);
  }
  const detail = `The token is not that of the account ${accountId}: accountId is the id that webhooks name.`;
  return failed('sender', 'sender_mismatch', detail);
}
