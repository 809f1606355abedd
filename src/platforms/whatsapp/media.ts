/**
 * Media of the Cloud API uploaded ahead: the link is fetched and streamed on as `POST /{number}/media`, whose id the
 * message then names instead of the link. The API takes no link there, so that this process does the fetching.
 */
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Prepared, PrepareResult, Preparer, SendResult } from '../../engine/ports.ts';
import { type Fields, isFields, readId, readObject } from '../fields.ts';
import type { HttpOutcome } from '../http-client.ts';
import { faultOf, type MediaKind, type OpenMedia, openMedia } from '../media/fetch.ts';
import { readGraphError } from '../meta/error.ts';
import type { GraphUploads } from '../meta/graph.ts';
import type { MediaSettings } from '../platform.ts';

const MEBIBYTE = 1_048_576;
const DOCUMENT_TYPES = [
  'text/plain',
  'application/pdf',
  'application/msword',
  'application/vnd.ms-excel',
  'application/vnd.ms-powerpoint',
  'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
  'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  'application/vnd.openxmlformats-officedocument.presentationml.presentation',
];

/** What Meta takes, by the member that the link stands in. */
const KINDS: Readonly<Record<string, MediaKind>> = {
  image: { maxBytes: 5 * MEBIBYTE, types: new Set(['image/jpeg', 'image/png']) },
  video: { maxBytes: 16 * MEBIBYTE, types: new Set(['video/mp4', 'video/3gpp']) },
  audio: {
    maxBytes: 16 * MEBIBYTE,
    types: new Set(['audio/aac', 'audio/amr', 'audio/mpeg', 'audio/mp4', 'audio/ogg']),
  },
  document: { maxBytes: 100 * MEBIBYTE, types: new Set(DOCUMENT_TYPES) },
  sticker: { maxBytes: 500 * 1_024, types: new Set(['image/webp']) },
};

/** More than a carousel has: what has more goes as it is. */
const MAX_LINKS = 10;
const MAX_DEPTH = 8;
/** Meta keeps uploads for 30 days. */
const USABLE_FOR_MS = 29 * 86_400_000;
/** Faults of the platform that may pass. */
const PASSING = new Set([1, 2, 131000, 131016, 131053]);
/** What a message with an unknown, expired or unfit id is refused with. */
const MEDIA_REFUSED = new Set(['100', '131008', '131009', '131052', '131053']);

export function createPreparer(uploads: GraphUploads, settings: MediaSettings): Preparer {
  return {
    maxConcurrent: settings.maxConcurrent,
    plan(body) {
      const content = readObject(body)?.content;
      const links = new Map<string, MediaKind>();
      collect(content, links, 0);
      if (links.size === 0 || links.size > MAX_LINKS) return null;
      return (signal) => uploadAll(links, uploads, settings, signal);
    },
  };
}

function collect(value: unknown, links: Map<string, MediaKind>, depth: number): void {
  if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) return;
  for (const [name, inner] of Object.entries(value)) {
    const kind = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
    if (kind !== undefined && isFields(inner) && typeof inner.link === 'string') links.set(inner.link, kind);
    else collect(inner, links, depth + 1);
  }
}

/** The same content with ids where links were. */
export function withIds(content: Fields, prepared: Prepared): Fields {
  return replaced(content, prepared, 0) as Fields;
}

function replaced(value: unknown, prepared: Prepared, depth: number): unknown {
  if (Array.isArray(value)) return value.map((inner) => replaced(inner, prepared, depth + 1));
  if (!isFields(value) || depth > MAX_DEPTH) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      const link = Object.hasOwn(KINDS, name) && isFields(inner) ? inner.link : undefined;
      const id = typeof link === 'string' ? prepared.get(link) : undefined;
      if (id === undefined) return [name, replaced(inner, prepared, depth + 1)];
      const { link: _replaced, ...rest } = inner as Fields;
      return [name, { ...rest, id }];
    }),
  );
}

/** A refusal of a message with ids, marked where they may be the reason: with links it may do better. */
export function judgeWithIds(result: SendResult): SendResult {
  if (result.kind !== 'refused' || result.nack.scope !== 'message' || !MEDIA_REFUSED.has(result.nack.code))
    return result;
  return { ...result, nack: { ...result.nack, permanent: false }, preparedRefused: true };
}

async function uploadAll(
  links: ReadonlyMap<string, MediaKind>,
  uploads: GraphUploads,
  { allowedHosts, timeoutMs }: MediaSettings,
  signal: AbortSignal,
): Promise<PrepareResult> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const prepared = new Map<string, string>();
  for (const [link, kind] of links) {
    let media: OpenMedia;
    try {
      media = await openMedia(link, kind, { allowedHosts }, bounded);
    } catch (error) {
      const { code, retryable } = faultOf(error, bounded);
      return { kind: 'failed', code, retryable };
    }
    try {
      const id = readUploaded(await upload(media, uploads, timeoutMs, bounded));
      if (typeof id !== 'string') return id;
      prepared.set(link, id);
    } finally {
      await media.close();
    }
  }
  return { kind: 'prepared', prepared, usableForMs: USABLE_FOR_MS };
}

/** Part by part as it comes, never held as a whole. */
function upload(media: OpenMedia, uploads: GraphUploads, timeoutMs: number, signal: AbortSignal): Promise<HttpOutcome> {
  const boundary = `roomline-${randomUUID()}`;
  const { contentType, bytes } = media;
  const field = (name: string, value: string): string =>
    `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const head = Buffer.from(
    `${field('messaging_product', 'whatsapp')}${field('type', contentType)}--${boundary}\r\n` +
      `content-disposition: form-data; name="file"; filename="media"\r\ncontent-type: ${contentType}\r\n\r\n`,
  );
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  async function* parts(): AsyncGenerator<Uint8Array> {
    yield head;
    yield* media.body;
    yield tail;
  }
  return uploads.post({
    edge: 'media',
    headers: {
      'content-type': `multipart/form-data; boundary=${boundary}`,
      'content-length': String(head.length + bytes + tail.length),
    },
    body: Readable.from(parts(), { objectMode: false }),
    timeoutMs,
    signal,
  });
}

function readUploaded(outcome: HttpOutcome): string | PrepareResult {
  if (outcome.kind !== 'answered') return { kind: 'failed', code: outcome.code, retryable: true };
  const fields = readObject(outcome.body);
  const error = readGraphError(fields?.error);
  if (error !== null) {
    return { kind: 'failed', code: String(error.code), retryable: error.transient || PASSING.has(error.code) };
  }
  const id = outcome.status < 300 ? readId(fields?.id) : null;
  return id ?? { kind: 'failed', code: `http_${outcome.status}`, retryable: outcome.status >= 500 };
}
