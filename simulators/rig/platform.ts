import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readNdjson } from '../oracle/ndjson.ts';
import type { GroundTruthRecord } from '../platform/ground-truth.ts';
import type { LeanPatch } from '../platform/lean/settings.ts';
import type { OutagePlan } from '../platform/outages.ts';
import type { PlatformStats } from '../platform/platform.ts';
import type { ProfileName } from '../platform/profiles.ts';
import type { SettingsPatch } from '../platform/settings.ts';
import { Child } from './child.ts';
import { call } from './http.ts';

export interface PlatformOptions {
  readonly directory: string;
  readonly seed: number | string;
  /** Whose interface it has. */
  readonly profile: ProfileName;
  readonly settings: SettingsPatch;
  /** In place of the full one, the lean one of the generic platform, with these settings. */
  readonly lean?: LeanPatch;
  /** It serves https. */
  readonly tls: boolean;
  readonly signal?: AbortSignal;
}

interface Addresses {
  readonly url: string;
  readonly controlUrl: string;
}

const MAIN = fileURLToPath(new URL('../platform/main.ts', import.meta.url));
const LEAN_MAIN = fileURLToPath(new URL('../platform/lean/main.ts', import.meta.url));

/** The fake platform as a process of its own. Each of its lives writes a ground truth of its own. */
export class PlatformProcess {
  readonly #options: PlatformOptions;
  readonly #lives: string[] = [];
  #child: Child | null = null;
  #addresses: Addresses = { url: '', controlUrl: '' };

  private constructor(options: PlatformOptions) {
    this.#options = options;
  }

  static async start(options: PlatformOptions): Promise<PlatformProcess> {
    const platform = new PlatformProcess(options);
    await platform.start();
    return platform;
  }

  /** Where messages are sent to: the `baseUrl` of a channel. */
  get url(): string {
    return this.#addresses.url;
  }

  /** Where its knobs are. */
  get controlUrl(): string {
    return this.#addresses.controlUrl;
  }

  get child(): Child | null {
    return this.#child;
  }

  /** Starts it again after `stop` or `kill9`, on the same ports. Accepted messages and their phones are forgotten. */
  async start(): Promise<void> {
    const { directory, seed, profile, settings, lean, tls, signal } = this.#options;
    const config = join(directory, 'platform.json');
    writeFileSync(config, `${JSON.stringify({ settings: lean ?? settings }, null, 2)}\n`, { mode: 0o600 });
    const log = join(directory, `ground-truth-${this.#lives.length + 1}.ndjson`);
    writeFileSync(log, '', { mode: 0o600 });
    const ports =
      this.url === '' ? [] : ['--port', portOf(this.url), '--control-port', portOf(this.#addresses.controlUrl)];
    const [child, addresses] = await Child.start<Addresses>({
      name: 'platform',
      directory,
      command: [
        ...(lean === undefined ? [MAIN, '--profile', profile, '--log', log] : [LEAN_MAIN]),
        ...['--config', config, '--seed', String(seed)],
        ...(tls ? ['--tls'] : []),
        ...ports,
      ],
      ready: (line) => (line.startsWith('{"url"') ? (JSON.parse(line) as Addresses) : null),
      ...(signal === undefined ? {} : { signal }),
    });
    this.#lives.push(log);
    this.#child = child;
    this.#addresses = addresses;
  }

  async stop(): Promise<void> {
    await this.#child?.stop();
  }

  async kill9(): Promise<void> {
    await this.#child?.kill9();
  }

  stats(): Promise<PlatformStats> {
    return this.#control<PlatformStats>('GET', '/control/stats');
  }

  async change(settings: SettingsPatch | LeanPatch): Promise<void> {
    await this.#control('PATCH', '/control/settings', settings);
  }

  async scheduleOutage(plan: OutagePlan): Promise<void> {
    await this.#control('POST', '/control/outages', plan);
  }

  async endOutages(): Promise<void> {
    await this.#control('DELETE', '/control/outages');
  }

  /** Keeps all statuses back until they are flushed. */
  async holdWebhooks(): Promise<void> {
    await this.#control('POST', '/control/webhooks/hold', {});
  }

  /** Sends them at line rate. */
  async flushWebhooks(): Promise<void> {
    await this.#control('POST', '/control/webhooks/flush', {});
  }

  /** Everything that happened so far, in all lives; of the lean one in the present life, while it runs. */
  async *groundTruth(): AsyncGenerator<GroundTruthRecord> {
    const lives = this.#child?.running ? this.#lives.slice(0, -1) : this.#lives;
    for (const file of lives) yield* readNdjson<GroundTruthRecord>(file);
    if (!this.#child?.running) return;
    // Its file may lag behind what it knows.
    const response = await fetch(`${this.#addresses.controlUrl}/control/ground-truth`);
    if (!response.ok || response.body === null) throw new Error(`no ground truth: ${response.status}`);
    let rest = '';
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + piece).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) yield JSON.parse(line) as GroundTruthRecord;
    }
  }

  #control<T>(method: string, path: string, body?: object): Promise<T> {
    return call<T>(method, `${this.#addresses.controlUrl}${path}`, body);
  }
}

/** Accepted messages that have not reached their phones yet, and statuses still to be told. */
export function underWay(stats: PlatformStats): number {
  const failed = stats.faults.async_failure ?? 0;
  const expired = stats.faults.phone_expired ?? 0;
  return stats.accepted - stats.shown - failed - expired + stats.webhooksWaiting + stats.webhooksActive;
}

function portOf(url: string): string {
  return new URL(url).port;
}
