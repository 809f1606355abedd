/** A sender on the Send API, which Messenger and Instagram share. */
import type { PlatformChannel, SendRequest, SendResult } from '../../engine/ports.ts';
import type { Fields } from '../fields.ts';
import { openGraphSender, openGraphUploads } from '../meta/graph.ts';
import { createMetaHandshake } from '../meta/handshake.ts';
import { createMetaVerifier } from '../meta/signature.ts';
import type { PlatformChannelConfig, PlatformDependencies, Revealable } from '../platform.ts';
import { classifySend } from './answer.ts';
import { type ContentRules, createContentCheck } from './content.ts';
import { readEvents } from './events.ts';
import { createPreparer, judgeWithIds } from './media.ts';
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
  /** What can be uploaded ahead: types of attachments, and members of the request beside the message. */
  readonly uploads: { readonly types: readonly string[]; readonly members: Fields };
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
  const { media } = config;
  const uploads =
    media?.prepare === true ? openGraphUploads(config, product.apiVersion, product.node, media.maxConcurrent) : null;

  async function send({ reference, body, timeoutMs, prepared }: SendRequest): Promise<SendResult> {
    const request = requestOf(body, product.defaults, product.echoesMetadata ? reference : null, prepared);
    if (request === null) return UNSENDABLE;
    const result = classifySend(await graph.post(request, timeoutMs), dependencies.wallClockMs());
    return prepared === undefined ? result : judgeWithIds(result);
  }

  return {
    ...(media === undefined || uploads === null ? {} : { prepare: createPreparer(uploads, media, product.uploads) }),
    senderId: product.senderId,
    checkContent: createContentCheck(product.content),
    send,
    // Conversations can be listed, but their messages carry nothing by which ours would be known after a lost answer.
    lookup: null,
    handshake: createMetaHandshake(product.verifyToken),
    verify: createMetaVerifier(config.webhookSecrets.map((secret) => secret.reveal())),
    readStatuses: ({ raw }) => readEvents(raw, product.objects, threads),
    close: async () => {
      await Promise.all([graph.close(), uploads?.close()]);
    },
  };
}
