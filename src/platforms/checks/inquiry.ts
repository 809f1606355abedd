/** Questions to a platform that send nothing, and the findings that come of them. */
import type { Fields } from '../fields.ts';
import { readObject } from '../fields.ts';
import { HttpClient } from '../http-client.ts';
import type { PlatformChannelConfig, PlatformDependencies } from '../platform.ts';

/** `failed`: the channel cannot work like this, or nothing shows that it can. */
export type FindingOutcome = 'ok' | 'warning' | 'failed' | 'not_checkable';

/** One thing that was looked at. */
export interface Finding {
  /** What it is about: the same name on every platform. */
  readonly name: string;
  readonly outcome: FindingOutcome;
  /** For programs. */
  readonly code: string;
  /** For people: what was found, and what to do. Never holds a secret, nor a text of the platform that may hold one. */
  readonly detail: string;
}

/** Asks a platform about one channel. Resolves within about `timeoutMs` whatever the platform does. */
export type ChannelChecker = (
  config: PlatformChannelConfig,
  dependencies: PlatformDependencies & { readonly timeoutMs: number },
) => Promise<Finding[]>;

export type Reply =
  | { readonly kind: 'answered'; readonly status: number; readonly fields: Fields | null }
  /** Nothing that tells anything: no connection, no answer in time, a redirect, a fault of the platform, a limit. */
  | { readonly kind: 'none'; readonly code: string };

const MAX_ANSWER_BYTES = 262_144;
const CONNECTIONS = 4;
/** Signatures with a time are taken up to five minutes off; a clock that is a minute off needs looking after. */
const MAX_CLOCK_DIFFERENCE_MS = 60_000;

export class Inquiry {
  readonly #clients = new Map<string, HttpClient>();
  readonly #wallClockMs: () => number;
  readonly #timeoutMs: number;
  readonly #endsAt: number;
  #clockDifferenceMs: number | null = null;

  /** @param timeoutMs for all questions together */
  constructor(timeoutMs: number, wallClockMs: () => number) {
    this.#wallClockMs = wallClockMs;
    this.#timeoutMs = timeoutMs;
    this.#endsAt = performance.now() + timeoutMs;
  }

  async get(origin: string, path: string, headers: Readonly<Record<string, string>>): Promise<Reply> {
    const timeoutMs = Math.floor(this.#endsAt - performance.now());
    if (timeoutMs < 1) return { kind: 'none', code: 'timeout' };
    const request = { method: 'GET', path, headers: { accept: 'application/json', ...headers } } as const;
    const outcome = await this.#client(origin).exchange({ ...request, body: null, timeoutMs });
    if (outcome.kind !== 'answered') return { kind: 'none', code: outcome.code };
    this.#readClock(outcome.headers.date);
    const { status } = outcome;
    if (status >= 300 && status < 400) return { kind: 'none', code: 'redirected' };
    if (status === 429 || status >= 500) return { kind: 'none', code: `http_${status}` };
    return { kind: 'answered', status, fields: readObject(outcome.body) };
  }

  /** Whether our clock agrees with the platform's; null where it has not told its time. */
  clock(): Finding | null {
    const difference = this.#clockDifferenceMs;
    if (difference === null) return null;
    const seconds = Math.round(Math.abs(difference) / 1_000);
    if (Math.abs(difference) <= MAX_CLOCK_DIFFERENCE_MS) return ok('clock', 'The clocks agree.');
    const which = difference > 0 ? 'behind' : 'ahead of';
    return warning(
      'clock',
      'clock_off',
      `This clock is ${seconds} s ${which} the platform's: signatures may be refused.`,
    );
  }

  /** Where the first question has found no answer. */
  unreachable(code: string, origin: string): Finding {
    if (code === 'http_429') return warning('platform', code, 'The platform refuses more requests for now: try later.');
    return failed('platform', code, `${origin}: ${wordsOf(code, this.#timeoutMs)}`);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.close()));
  }

  #client(origin: string): HttpClient {
    const open = this.#clients.get(origin);
    if (open !== undefined) return open;
    const client = new HttpClient({
      origin,
      connections: CONNECTIONS,
      connectTimeoutMs: this.#timeoutMs,
      maxAnswerBytes: MAX_ANSWER_BYTES,
    });
    this.#clients.set(origin, client);
    return client;
  }

  #readClock(header: string | string[] | undefined): void {
    const at = typeof header === 'string' ? Date.parse(header) : Number.NaN;
    // The header has whole seconds, so that it is half a second behind on average.
    if (!Number.isNaN(at)) this.#clockDifferenceMs ??= at + 500 - this.#wallClockMs();
  }
}

function wordsOf(code: string, timeoutMs: number): string {
  switch (code) {
    case 'connect_refused':
      return 'nothing accepts connections there. Check baseUrl and the firewall.';
    case 'connect_dns':
      return 'the name cannot be resolved. Check baseUrl and DNS.';
    case 'connect_tls':
      return 'no TLS connection, or a certificate that is not trusted.';
    case 'connect_timeout':
    case 'timeout':
      return `no answer within ${timeoutMs} ms. Check the firewall, or raise --timeout-ms.`;
    case 'redirected':
      return 'it answers with a redirect, and none is followed. Correct baseUrl.';
    case 'answer_unreadable':
      return 'its answer is not what this platform answers. Check baseUrl.';
    default:
      return code.startsWith('http_')
        ? `it answers ${code.slice('http_'.length)}. Check baseUrl, or try later.`
        : 'the connection broke.';
  }
}

export function ok(name: string, detail: string): Finding {
  return { name, outcome: 'ok', code: 'ok', detail };
}

export function warning(name: string, code: string, detail: string): Finding {
  return { name, outcome: 'warning', code, detail };
}

export function failed(name: string, code: string, detail: string): Finding {
  return { name, outcome: 'failed', code, detail };
}

export function notCheckable(name: string, code: string, detail: string): Finding {
  return { name, outcome: 'not_checkable', code, detail };
}

/** Origin, and the path before every request's own. */
export function splitBase(baseUrl: string): { readonly origin: string; readonly prefix: string } {
  const { origin, pathname } = new URL(baseUrl);
  return { origin, prefix: pathname.replace(/\/+$/, '') };
}

/** The path of every channel's address below the public one. */
const WEBHOOK_PATH = /\/v1\/webhooks\/[^/]+\/[^/]+$/;

/** Whether two addresses are the same to whoever calls them. */
export function sameAddress(one: string, other: string): boolean {
  return URL.canParse(one) && URL.canParse(other) && new URL(one).href === new URL(other).href;
}

/** Whether the address is that of any channel under our public one. */
export function isOurs(address: string, webhookUrl: string): boolean {
  const base = (text: string) => (WEBHOOK_PATH.test(text) ? text.replace(WEBHOOK_PATH, '') : null);
  const ours = base(webhookUrl);
  return ours !== null && base(address) === ours;
}

/** A foreign address as it may be shown: programs put secrets into paths and queries. */
export function hostOf(address: string): string {
  return URL.canParse(address) ? new URL(address).origin : 'an address that cannot be read';
}

/** What cannot be compared because nobody said where we are. */
export function withoutPublicUrl(name: string): Finding {
  return notCheckable(name, 'public_url_missing', 'Set http.publicUrl: only then this address is known here.');
}

/** The day of a Unix time in ms. */
export function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
