/** The channel registry of one process on a shared store, over a real engine whose platform answers by hand. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { createMemoryOperatorStores } from '../../src/adapters/memory/operators.ts';
import { ChannelRegistry } from '../../src/channel-registry.ts';
import { allowedSecrets, type ChannelConfig, parseConfiguration } from '../../src/config.ts';
import type { OperatorStores } from '../../src/engine/operator-ports.ts';
import type { ChannelKey, PlatformChannel, Signal, Signals } from '../../src/engine/ports.ts';
import { createPlatformChannel } from '../../src/platforms/registry.ts';
import { Bed, settled } from './engine.ts';

const DEFAULTS = readFileSync(new URL('../../config/default.json', import.meta.url), 'utf8');

export const OPERATOR = { name: 'operate', requestId: 'request-1', bound: false };
export const SALES: ChannelKey = { tenant: 'default', channel: 'sales' };
/** Of the one channel that the file configures. */
export const IN_FILE: ChannelKey = { tenant: 'default', channel: 'support' };
export const FILE_TOKEN = 'token-in-the-file';

/** Variables of every process. */
export const ENVIRONMENT: Readonly<Record<string, string>> = {
  CHANNEL_SECRET_TOKEN: 'the-first-token',
  CHANNEL_SECRET_OTHER_TOKEN: 'another-token',
  CHANNEL_SECRET_HOOK: 'a-webhook-secret-1',
  CHANNEL_SECRET_NEW_HOOK: 'a-webhook-secret-2',
  CHANNEL_SECRET_SHORT: 'short',
  CHANNEL_SECRET_SPACED: 'two words',
  PATH: '/usr/bin',
};

/** Settings as an operator sends them. */
export function settingsOf(wishes: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    account: 'acme',
    platform: 'generic',
    baseUrl: 'http://127.0.0.1:9000',
    accessToken: { env: 'CHANNEL_SECRET_TOKEN' },
    webhookSecrets: [{ env: 'CHANNEL_SECRET_HOOK' }],
    ...wishes,
  };
}

/** What the adapter of a channel was made of, and whether it still works. */
export interface MadeClient {
  readonly config: ChannelConfig;
  readonly client: PlatformChannel;
  closed: boolean;
}

export interface RegistryOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly channels?: Readonly<Record<string, unknown>>;
  readonly signals?: Signals;
}

/** Several processes on one database. */
export class Fleet {
  readonly bed: Bed;
  readonly stores: Pick<OperatorStores, 'settings' | 'audit'>;
  readonly directory: string;
  /** Rooms that wait, as the store says. */
  waitingRooms = 0;
  #latest: ChannelRegistry | null = null;

  constructor() {
    this.bed = new Bed({ channels: [], platform: (key) => this.#latest?.platform(key) ?? null });
    this.stores = createMemoryOperatorStores({ now: () => this.bed.time.now, waitingRooms: () => this.waitingRooms });
    this.directory = mkdtempSync(join(tmpdir(), 'roomline-channel-secrets-'));
    onTestFinished(() => rmSync(this.directory, { recursive: true, force: true }));
  }

  /** Path of a new file below the allowed directory, or elsewhere. */
  file(name: string, text: string): string {
    const path = join(this.directory, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  async start(options: RegistryOptions = {}) {
    const env: Record<string, string | undefined> = { ...ENVIRONMENT, ...options.env };
    const { config, readChannel } = parseConfiguration({
      files: [
        { name: 'default.json', text: DEFAULTS },
        { name: 'own.json', text: JSON.stringify(this.#file(options)) },
      ],
      env,
      readSecretFile: (path) => readFileSync(path, 'utf8'),
    });
    const made: MadeClient[] = [];
    const process = this.bed.process();
    const registry = new ChannelRegistry({
      config,
      readChannel,
      secrets: allowedSecrets({ variables: ['CHANNEL_SECRET_*'], directory: join(this.directory, 'allowed') }, env),
      operators: this.stores,
      createClient: (channel, key) => {
        // What the adapter itself refuses is refused here, too.
        void createPlatformChannel(channel.platform, channel, { wallClockMs: () => 0, webhookUrl: null }).close();
        const client: PlatformChannel = {
          ...this.bed.platform.channel(key),
          close: async () => {
            one.closed = true;
          },
        };
        const one: MadeClient = { config: channel, client, closed: false };
        made.push(one);
        return client;
      },
      signals: options.signals ?? null,
      clock: process.clock,
      instruments: process.instruments,
      onFailure: (error) => void process.failures.push(error),
    });
    await registry.load();
    this.#latest = registry;
    for (const one of registry.settings()) process.engine.configureChannel(one);
    registry.connect(process.engine);
    await process.engine.service.start();
    await settled();
    return { registry, process, made, env };
  }

  #file({ channels }: RegistryOptions): object {
    const support = {
      account: 'acme',
      platform: 'generic',
      baseUrl: 'http://127.0.0.1:9000',
      accessToken: FILE_TOKEN,
      webhookSecrets: ['a-webhook-secret-of-the-file'],
    };
    return {
      postgres: { url: 'postgres://roomline:pw@127.0.0.1:5432/roomline' },
      reference: { secret: 'reference-secret-of-32-characters' },
      channels: channels ?? { support },
    };
  }
}

/** Signals that reach every listener at once. */
export class LoudSignals implements Signals {
  readonly live = true;
  readonly lapses = 0;
  readonly #listeners = new Set<(signal: Signal) => void>();

  publish(signal: Signal): void {
    for (const listener of this.#listeners) listener(signal);
  }

  follow(): void {}
  unfollow(): void {}

  hears(): boolean {
    return this.live;
  }

  listen(listener: (signal: Signal) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
