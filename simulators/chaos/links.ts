/** The links of one engine, each through a proxy of its own. */
import type { Link } from './plan.ts';
import { PostgresAmbushes } from './postgres-wire.ts';
import { type ProxyCounts, TcpProxy } from './proxy.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Where the links lead. */
export type Targets = Readonly<Record<Link, () => Address>>;

export class Links {
  readonly ambushes = new PostgresAmbushes();
  readonly #proxies: Readonly<Record<Link, TcpProxy>>;
  /** Told once of the next answer of the platform, before the engine gets it. */
  #atAnswer: (() => void) | null = null;

  constructor(targets: Targets) {
    this.#proxies = {
      postgres: new TcpProxy({ target: targets.postgres, tap: this.ambushes.tap }),
      pubsub: new TcpProxy({ target: targets.pubsub }),
      platform: new TcpProxy({
        target: targets.platform,
        // A request counts as under way for no longer than its sender waits: the oracle judges late copies by that.
        dropsAbandoned: true,
        tap: () => ({
          up: (bytes) => bytes,
          down: (bytes) => {
            const strike = this.#atAnswer;
            this.#atAnswer = null;
            strike?.();
            return bytes;
          },
        }),
      }),
      webhooks: new TcpProxy({ target: targets.webhooks }),
    };
  }

  get(link: Link): TcpProxy {
    return this.#proxies[link];
  }

  address(link: Link): Address {
    return { host: '127.0.0.1', port: this.#proxies[link].port };
  }

  atAnswer(strike: (() => void) | null): void {
    this.#atAnswer = strike;
  }

  async listen(): Promise<void> {
    for (const proxy of Object.values(this.#proxies)) await proxy.listen();
  }

  async close(): Promise<void> {
    for (const proxy of Object.values(this.#proxies)) await proxy.close();
  }

  counts(): Readonly<Record<Link, ProxyCounts>> {
    const entries = Object.entries(this.#proxies).map(([link, proxy]) => [link, { ...proxy.counts }]);
    return Object.fromEntries(entries) as Record<Link, ProxyCounts>;
  }
}
