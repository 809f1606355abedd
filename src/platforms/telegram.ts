/** Telegram bots, as docs/channels/telegram.md describes them: the answer to a send is its ack, and the only one. */
import type { PlatformChannel, SendRequest, SendResult } from '../engine/ports.ts';
import { RoomlineError } from '../errors.ts';
import { HttpClient, type HttpOutcome } from './http-client.ts';
import type { PlatformChannelConfig, PlatformDependencies } from './platform.ts';
import { classifySend, migratedTo } from './telegram/answer.ts';
import { checkContent } from './telegram/content.ts';
import { FloodScope } from './telegram/flood-scope.ts';
import { MigratedChats } from './telegram/migrated-chats.ts';
import { type BotRequest, readRequest } from './telegram/request.ts';
import { createVerifier } from './telegram/secret-token.ts';
import { readUpdates } from './telegram/updates.ts';

/** An answer repeats the message, each character in up to twelve bytes, and so does that of an album ten times. */
const MAX_ANSWER_BYTES = 1_048_576;
/** With less than this left of its time, a request to the new id of a chat is left to the next attempt. */
const LEAST_RESEND_MS = 250;

export function createTelegramChannel(
  config: PlatformChannelConfig,
  dependencies: PlatformDependencies,
): PlatformChannel {
  const { origin, pathname } = new URL(config.baseUrl);
  const bot = `${pathname.replace(/\/+$/, '')}/bot${tokenOf(config.accessToken.reveal())}`;
  const verify = createVerifier(config.webhookSecrets.map((secret) => secret.reveal()));
  const flood = new FloodScope();
  const chats = new MigratedChats();
  const client = new HttpClient({
    origin,
    connections: config.maxConcurrentSends,
    connectTimeoutMs: config.sendTimeoutMs,
    maxAnswerBytes: MAX_ANSWER_BYTES,
  });

  function post({ method, parameters }: BotRequest, chatId: string, timeoutMs: number): Promise<HttpOutcome> {
    return client.exchange({
      method: 'POST',
      path: `${bot}/${method}`,
      headers: { 'content-type': 'application/json' },
      body: Buffer.from(JSON.stringify({ chat_id: chatId, ...parameters })),
      timeoutMs,
    });
  }

  async function send({ body, timeoutMs }: SendRequest): Promise<SendResult> {
    const request = readRequest(body);
    if (request === null) return UNSENDABLE;
    const startedAt = performance.now();
    const begun = flood.begin();
    let chatId = chats.presentIdOf(request.chatId);
    let outcome = await post(request, chatId, timeoutMs);
    const newId = migratedTo(outcome);
    if (newId !== null) {
      chats.remember(request.chatId, newId);
      const leftMs = Math.floor(timeoutMs - (performance.now() - startedAt));
      // The old id was refused, so nothing was sent: sending to the new one is still the same attempt, in its time.
      if (leftMs >= LEAST_RESEND_MS) {
        chatId = newId;
        outcome = await post(request, chatId, leftMs);
      }
    }
    const result = classifySend(outcome, chatId, dependencies.wallClockMs());
    return flood.judge(result, chatId, begun, dependencies.wallClockMs());
  }

  return {
    senderId: null,
    checkContent,
    send,
    lookup: null,
    handshake: null,
    verify: ({ headers }) => verify(headers),
    readStatuses: ({ raw }) => [readUpdates(raw)],
    close: () => client.close(),
  };
}

/** What was stored breaks the rules that hold now: no attempt can change that. */
const UNSENDABLE: SendResult = {
  kind: 'refused',
  nack: { permanent: true, scope: 'message', retryAfterMs: null, code: 'content_unsendable' },
};

/** It becomes part of every path, so that nothing but a token may pass; no message ever shows it. */
function tokenOf(token: string): string {
  if (/^[1-9][0-9]{0,19}:[A-Za-z0-9_-]{1,59}$/.test(token)) return token;
  throw new RoomlineError('config_invalid', {
    field: 'accessToken',
    rule: 'the bot token as BotFather gives it: digits, a colon, then letters, digits, _ and -',
  });
}
