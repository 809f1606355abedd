/**
 * Media of Messenger and Instagram uploaded ahead through the Attachment Upload API: Meta fetches the link itself and
 * gives an id, which the message then names. This process fetches nothing.
 */
import type { Prepared, PrepareResult, Preparer, SendResult } from '../../engine/ports.ts';
import { type Fields, isFields, readId, readObject } from '../fields.ts';
import type { HttpOutcome } from '../http-client.ts';
import { readGraphError } from '../meta/error.ts';
import type { GraphUploads } from '../meta/graph.ts';
import type { MediaSettings } from '../platform.ts';
import { codeOf } from './errors.ts';

/** Meta names no end of what is reusable; for as long as a message may wait this is certain enough. */
const USABLE_FOR_MS = 86_400_000;
const MAX_LINKS = 10;
/** What may pass: faults of the platform, and media that could not be fetched or stored in time. */
const PASSING = new Set(['1', '2', '1200', '100/2018008', '100/2018047', '100/2018294']);

export function createPreparer(
  uploads: GraphUploads,
  settings: MediaSettings,
  { types, members }: { readonly types: readonly string[]; readonly members: Fields },
): Preparer {
  return {
    maxConcurrent: settings.maxConcurrent,
    plan(body) {
      const content = readObject(body)?.content;
      const links = new Map<string, string>();
      for (const attachment of attachmentsOf(isFields(content) ? content.message : undefined)) {
        const link = linkOf(attachment);
        if (link !== null && types.includes(link.type)) links.set(link.url, link.type);
      }
      if (links.size === 0 || links.size > MAX_LINKS) return null;
      return (signal) => uploadAll(links, uploads, members, settings.timeoutMs, signal);
    },
  };
}

function attachmentsOf(message: unknown): readonly unknown[] {
  if (!isFields(message)) return [];
  return Array.isArray(message.attachments) ? message.attachments : [message.attachment];
}

function linkOf(attachment: unknown): { readonly type: string; readonly url: string } | null {
  if (!isFields(attachment) || typeof attachment.type !== 'string' || !isFields(attachment.payload)) return null;
  const { url } = attachment.payload;
  return typeof url === 'string' ? { type: attachment.type, url } : null;
}

/** The same message with ids where links were. */
export function withIds(message: Fields, prepared: Prepared): Fields {
  const replaced = (attachment: unknown): unknown => {
    const id = prepared.get(linkOf(attachment)?.url ?? '');
    return id === undefined ? attachment : { ...(attachment as Fields), payload: { attachment_id: id } };
  };
  if (Array.isArray(message.attachments)) return { ...message, attachments: message.attachments.map(replaced) };
  return message.attachment === undefined ? message : { ...message, attachment: replaced(message.attachment) };
}

/** A refusal of a message with ids, marked where they may be the reason: with links it may do better. */
export function judgeWithIds(result: SendResult): SendResult {
  if (result.kind !== 'refused' || result.nack.scope !== 'message') return result;
  if (!/^100(?:\/|$)/.test(result.nack.code)) return result;
  return { ...result, nack: { ...result.nack, permanent: false }, preparedRefused: true };
}

async function uploadAll(
  links: ReadonlyMap<string, string>,
  uploads: GraphUploads,
  members: Fields,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<PrepareResult> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const prepared = new Map<string, string>();
  for (const [url, type] of links) {
    const attachment = { type, payload: { url, is_reusable: true } };
    const outcome = await uploads.post({
      edge: 'message_attachments',
      headers: { 'content-type': 'application/json' },
      body: Buffer.from(JSON.stringify({ ...members, message: { attachment } })),
      timeoutMs,
      signal: bounded,
    });
    const id = readUploaded(outcome);
    if (typeof id !== 'string') return id;
    prepared.set(url, id);
  }
  return { kind: 'prepared', prepared, usableForMs: USABLE_FOR_MS };
}

function readUploaded(outcome: HttpOutcome): string | PrepareResult {
  if (outcome.kind !== 'answered') return { kind: 'failed', code: outcome.code, retryable: true };
  const fields = readObject(outcome.body);
  const error = readGraphError(fields?.error);
  if (error !== null) {
    const code = codeOf(error);
    return { kind: 'failed', code, retryable: error.transient || PASSING.has(code) };
  }
  const id = outcome.status < 300 ? readId(fields?.attachment_id) : null;
  return id ?? { kind: 'failed', code: `http_${outcome.status}`, retryable: outcome.status >= 500 };
}
