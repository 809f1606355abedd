/** The links of one engine, each through a proxy of its own. */
import type { Link } from './plan.ts';
import { PostgresAmbushes } from './postgres-wire.ts';
import { type ProxyConnection, type ProxyCounts, type Tap, TcpProxy } from './proxy.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Where the links lead; without Redis there is none to it. */
export type Targets = Readonly<Record<Exclude<Link, 'redis'>, () => Address>> & { readonly redis?: () => Address };

/** A request that has left its sender and is kept from the platform. */
export interface HeldRequest {
  /** Lets it go on. */
  readonly release: () => void;
}

const REQUEST = Buffer.from('POST ');

export class Links {
  readonly ambushes = new PostgresAmbushes();
  readonly #proxies: Readonly<Record<Exclude<Link, 'redis'>, TcpProxy>> & { readonly redis?: TcpProxy };
  /** Told once of the next answer of the platform, before the engine gets it. */
  #atAnswer: (() => void) | null = null;
  /** Told once of the next request to the platform, of which nothing has arrived. */
  #atRequest: ((held: HeldRequest) => void) | null = null;

  constructor(targets: Targets) {
    this.#proxies = {
      postgres: new TcpProxy({ target: targets.postgres, tap: this.ambushes.tap }),
      pubsub: new TcpProxy({ target: targets.pubsub }),
      platform: new TcpProxy({
        target: targets.platform,
        // A request counts as under way for no longer than its sender waits: the oracle judges late copies by that.
        dropsAbandoned: true,
        tap: (connection) => this.#tapPlatform(connection),
      }),
      webhooks: new TcpProxy({ target: targets.webhooks }),
      ...(targets.redis === undefined ? {} : { redis: new TcpProxy({ target: targets.redis }) }),
    };
  }

  /** @throws Error for a link that there is not */
  get(link: Link): TcpProxy {
    const proxy = this.#proxies[link];
    if (proxy === undefined) throw new Error(`there is no link to ${link}`);
    return proxy;
  }

  address(link: Link): Address {
    return { host: '127.0.0.1', port: this.get(link).port };
  }

  atAnswer(strike: (() => void) | null): void {
    this.#atAnswer = strike;
  }

  atRequest(strike: ((held: HeldRequest) => void) | null): void {
    this.#atRequest = strike;
  }

  #tapPlatform(connection: ProxyConnection): Tap {
    let held: Buffer[] | null = null;
    return {
      up: (bytes) => {
        const strike = this.#atRequest;
        if (held === null && strike !== null && bytes.subarray(0, REQUEST.length).equals(REQUEST)) {
          this.#atRequest = null;
          held = [bytes];
          const release = (): void => {
            const all = held ?? [];
            held = null;
            connection.pass('up', Buffer.concat(all));
          };
          strike({ release });
          return null;
        }
        if (held === null) return bytes;
        held.push(bytes);
        return null;
      },
      down: (bytes) => {
        const strike = this.#atAnswer;
        this.#atAnswer = null;
        strike?.();
        return bytes;
      },
    };
  }

  async listen(): Promise<void> {
    for (const proxy of Object.values(this.#proxies)) await proxy.listen();
  }

  async close(): Promise<void> {
    for (const proxy of Object.values(this.#proxies)) await proxy.close();
  }

  counts(): Readonly<Partial<Record<Link, ProxyCounts>>> {
    const entries = Object.entries(this.#proxies).map(([link, proxy]) => [link, { ...proxy.counts }]);
    return Object.fromEntries(entries);
  }
}
