/** A sender on the Send API, which Messenger and Instagram share. */
import type { PlatformChannel, SendRequest, SendResult } from '../../engine/ports.ts';
import type { Fields } from '../fields.ts';
import { openGraphSender } from '../meta/graph.ts';
import { createMetaHandshake } from '../meta/handshake.ts';
import { createMetaVerifier } from '../meta/signature.ts';
import type { PlatformChannelConfig, PlatformDependencies, Revealable } from '../platform.ts';
import { classifySend } from './answer.ts';
import { type ContentRules, createContentCheck } from './content.ts';
import { readEvents } from './events.ts';
import { requestOf } from './message.ts';
import { Threads } from './threads.ts';

export interface Product {
  /** The page or account, as webhooks name it. */
  readonly senderId: string;
  readonly apiVersion: string;
  readonly verifyToken: Revealable | undefined;
  /** Who sends, in the path of the request. */
  readonly node: string;
  /** What webhook calls are about. */
  readonly objects: readonly string[];
  readonly content: ContentRules;
  /** Members of the request where the content does not give them. */
  readonly defaults: Fields;
  /** Echoes repeat what a message carries as `metadata`. */
  readonly echoesMetadata: boolean;
}

/** What was stored cannot be made into a request: no later attempt could. */
const UNSENDABLE: SendResult = {
  kind: 'refused',
  nack: { permanent: true, scope: 'message', retryAfterMs: null, code: 'content_unsendable' },
};

/** @throws RoomlineError `config_invalid` */
export function openMessagingChannel(
  config: PlatformChannelConfig,
  dependencies: PlatformDependencies,
  product: Product,
): PlatformChannel {
  const graph = openGraphSender(config, product.apiVersion, product.node);
  const threads = new Threads();

  async function send({ reference, body, timeoutMs }: SendRequest): Promise<SendResult> {
    const request = requestOf(body, product.defaults, product.echoesMetadata ? reference : null);
    if (request === null) return UNSENDABLE;
    return classifySend(await graph.post(request, timeoutMs), dependencies.wallClockMs());
  }

  return {
    senderId: product.senderId,
    checkContent: createContentCheck(product.content),
    send,
    // Conversations can be listed, but their messages carry nothing by which ours would be known after a lost answer.
    lookup: null,
    handshake: createMetaHandshake(product.verifyToken),
    verify: createMetaVerifier(config.webhookSecrets.map((secret) => secret.reveal())),
    readStatuses: ({ raw }) => readEvents(raw, product.objects, threads),
    close: () => graph.close(),
  };
}
