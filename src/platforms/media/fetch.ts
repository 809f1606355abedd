/**
 * Fetching what a publisher's link leads to. The link is input: whoever writes messages must not reach, through this
 * process, what only this process can reach. So:
 *
 *   - https on its usual port only; a host that the channel's settings name may have any port, and http on loopback
 *   - the name is resolved once, every address must be public (unless the settings name the host), and the connection
 *     goes to the address that was looked at
 *   - at most three redirects, each of them a link like the first
 *   - no credentials, cookies or proxies; the size is known before the first byte is taken, and bounded; the type is one
 *     of those expected; the caller's signal bounds the time of everything
 */
import { lookup as lookUp } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { Client, type Dispatcher } from 'undici';
import { isLoopbackAddress, isPublicAddress } from './addresses.ts';

export interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}
export type Resolve = (hostname: string) => Promise<readonly ResolvedAddress[]>;

export interface MediaAccess {
  /** `host` or `host:port`, in lower case, brackets around IPv6: hosts of our own, whatever their addresses are. */
  readonly allowedHosts: readonly string[];
  readonly resolve?: Resolve;
}

/** What is expected behind a link. */
export interface MediaKind {
  readonly maxBytes: number;
  /** By content type, where it has limits of its own. */
  readonly types: ReadonlySet<string>;
}

export interface OpenMedia {
  readonly contentType: string;
  /** `body` has so many, or fails. */
  readonly bytes: number;
  readonly body: AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** Why media was not fetched; `code` begins with `media_`. */
export class MediaFault extends Error {
  override readonly name = 'MediaFault';
  readonly code: string;
  readonly retryable: boolean;

  constructor(code: string, retryable = false, options?: ErrorOptions) {
    super(code, options);
    this.code = code;
    this.retryable = retryable;
  }
}

const MAX_REDIRECTS = 3;
const MAX_HEADER_BYTES = 16_384;
const MAX_LINK = 2_048;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** @throws MediaFault */
export async function openMedia(
  link: string,
  kind: MediaKind,
  access: MediaAccess,
  signal: AbortSignal,
): Promise<OpenMedia> {
  let target = link;
  let base: URL | undefined;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const url = readLink(target, base);
    const addresses = await addressesOf(url, access, signal);
    const client = new Client(url.origin, {
      allowH2: false,
      maxHeaderSize: MAX_HEADER_BYTES,
      // The signal bounds the whole.
      connect: { timeout: 0, lookup: pinnedTo(addresses) },
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    try {
      const answer = await client.request({
        method: 'GET',
        path: `${url.pathname}${url.search}`,
        headers: { accept: [...kind.types].join(', '), 'accept-encoding': 'identity', 'user-agent': 'Roomline' },
        signal,
      });
      if (!REDIRECTS.has(answer.statusCode)) return accepted(answer, kind, client);
      const { location } = answer.headers;
      if (typeof location !== 'string') throw new MediaFault('media_redirect_invalid');
      target = location;
      base = url;
      await end(client);
    } catch (error) {
      await end(client);
      throw faultOf(error, signal);
    }
  }
  throw new MediaFault('media_too_many_redirects');
}

function readLink(link: string, base: URL | undefined): URL {
  const url = link.length <= MAX_LINK && URL.canParse(link, base?.href) ? new URL(link, base?.href) : null;
  if (url === null || url.hostname === '') throw new MediaFault('media_link_invalid');
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new MediaFault('media_not_https');
  if (url.username !== '' || url.password !== '') throw new MediaFault('media_link_invalid');
  return url;
}

/** Those that the connection may go to. The parser has turned every spelling of an address into its plain form. */
async function addressesOf(
  url: URL,
  { allowedHosts, resolve = resolveByDns }: MediaAccess,
  signal: AbortSignal,
): Promise<readonly ResolvedAddress[]> {
  const allowed = allowedHosts.includes(url.host) || (url.port === '' && allowedHosts.includes(url.hostname));
  if (url.port !== '' && !allowed) throw new MediaFault('media_port_refused');
  if (url.protocol === 'http:' && !allowed) throw new MediaFault('media_not_https');
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const family = isIP(host);
  const addresses = family === 0 ? await resolved(resolve(host), signal) : [{ address: host, family }];
  if (addresses.length === 0) throw new MediaFault('media_dns', true);
  if (!allowed && !addresses.every(({ address }) => isPublicAddress(address))) {
    throw new MediaFault('media_address_refused');
  }
  if (url.protocol === 'http:' && !addresses.every(({ address }) => isLoopbackAddress(address))) {
    throw new MediaFault('media_not_https');
  }
  return addresses;
}

function resolveByDns(hostname: string): Promise<readonly ResolvedAddress[]> {
  return lookUp(hostname, { all: true });
}

/** A resolver knows no signal: it is not waited for any longer. */
async function resolved(
  answer: Promise<readonly ResolvedAddress[]>,
  signal: AbortSignal,
): Promise<readonly ResolvedAddress[]> {
  const over = Promise.withResolvers<never>();
  const stop = (): void => over.reject(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await Promise.race([answer, over.promise]);
  } catch (error) {
    if (signal.aborted) throw faultOf(error, signal);
    throw new MediaFault('media_dns', true, { cause: error });
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Whatever name is asked for, the answer is what was looked at. */
function pinnedTo(addresses: readonly ResolvedAddress[]): LookupFunction {
  return (_hostname, options, callback) => {
    const [first] = addresses;
    if (options.all === true) callback(null, [...addresses]);
    else callback(null, first?.address ?? '', first?.family);
  };
}

function accepted(answer: Dispatcher.ResponseData, kind: MediaKind, client: Client): OpenMedia {
  const { statusCode, headers, body } = answer;
  if (statusCode !== 200) throw new MediaFault(`media_http_${statusCode}`, statusCode >= 500 || statusCode === 429);
  const { 'content-encoding': encoding = 'identity', 'content-length': length, 'content-type': type } = headers;
  if (encoding !== 'identity') throw new MediaFault('media_encoded');
  if (typeof length !== 'string' || !/^\d{1,15}$/.test(length)) throw new MediaFault('media_size_unknown');
  const bytes = Number(length);
  if (bytes === 0) throw new MediaFault('media_empty');
  if (bytes > kind.maxBytes) throw new MediaFault('media_too_large');
  const contentType = (typeof type === 'string' ? type : '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (!kind.types.has(contentType)) throw new MediaFault('media_type_refused');
  return { contentType, bytes, body, close: () => end(client) };
}

function end(client: Client): Promise<void> {
  return client.destroy();
}

/** An error of the connection may pass; what the link itself is does not. */
export function faultOf(error: unknown, signal: AbortSignal): MediaFault {
  if (error instanceof MediaFault) return error;
  if (!signal.aborted) return new MediaFault('media_unreachable', true, { cause: error });
  const late = (signal.reason as Error | undefined)?.name === 'TimeoutError';
  return new MediaFault(late ? 'media_timeout' : 'media_aborted', false, { cause: error });
}
