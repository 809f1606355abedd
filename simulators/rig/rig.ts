/**
 * A complete system of real parts: Postgres, Pub/Sub, the fake platform and Roomline, each in a process of its own, for
 * the demonstration, for system tests and for benchmarks. They start in the order of the data path and stop in reverse.
 */
import { chmodSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../free-port.ts';
import type { LeakScan } from '../oracle/leaks.ts';
import { Oracle } from '../oracle/oracle.ts';
import type { FenceRow, FinalRow, InboxRow, OracleOptions, Published, Verdict } from '../oracle/types.ts';
import { changeLean, type LeanPatch, type LeanSettings } from '../platform/lean/settings.ts';
import { PROFILES, type ProfileName } from '../platform/profiles.ts';
import { changeSettings, defaultSettings, type Settings, type SettingsPatch } from '../platform/settings.ts';
import { CERTIFICATE_FILE } from '../platform/tls.ts';
import { type PostgresServer, startPostgres } from '../postgres/embedded.ts';
import { takeLock } from '../postgres/lock.ts';
import type { Child } from './child.ts';
import { CREDENTIALS } from './credentials.ts';
import { DATABASE, DatabaseReader, ensureDatabase } from './database.ts';
import { EngineProcess } from './engine.ts';
import { engineConfig, tokenOf, WEBHOOK_SECRET } from './engine-config.ts';
import { endLeftovers } from './leftovers.ts';
import { PlatformProcess, underWay } from './platform.ts';
import { Publisher } from './publisher.ts';
import { PublisherLog } from './publisher-log.ts';
import { PubSubProcess } from './pubsub.ts';
import { Secrets } from './secrets.ts';

export interface RigOptions {
  /** Folder of everything: data, secrets, configuration, logs. Made if missing; used by one rig at a time. */
  readonly directory: string;
  /** Port of Roomline's HTTP server; where it is taken, or 0, a free one. */
  readonly httpPort?: number;
  readonly seed?: number | string;
  /** Which platform the fake one is, and Roomline's channels are of; the generic one by default. */
  readonly profile?: ProfileName;
  /** Policies of Roomline's channels; `{ demo: {} }` by default. */
  readonly channels?: Readonly<Record<string, object>>;
  /** Roomline may empty its database and change the platform. */
  readonly development?: boolean;
  /** Laid over the engine's other settings, section by section. */
  readonly settings?: Readonly<Record<string, object>>;
  /** Laid over the platform's settings one after the other; tokens and webhooks of the channels are there already. */
  readonly platform?: readonly SettingsPatch[];
  /** The lean platform in place of the full one, with these settings; tokens and webhooks are there already. */
  readonly leanPlatform?: LeanPatch;
  /** The platform serves https, and Roomline trusts its certificate. */
  readonly platformTls?: boolean;
  readonly postgres?: { readonly binaries?: string; readonly settings?: Readonly<Record<string, string>> };
  /** File of Roomline's command; that of this checkout by default. */
  readonly command?: string;
  /** Without it, everything but Roomline runs and `engine.start` is the caller's. Default true. */
  readonly startEngine?: boolean;
  /** Ends the start, whatever it is at. */
  readonly signal?: AbortSignal;
  /** Told in one line of what is going on. */
  readonly say?: (line: string) => void;
  /** Told in one line of anything unusual; standard error by default. */
  readonly warn?: (line: string) => void;
}

interface Parts {
  readonly directory: string;
  readonly secrets: Secrets;
  readonly postgres: PostgresServer;
  readonly pubsub: PubSubProcess;
  readonly platform: PlatformProcess;
  readonly engine: EngineProcess;
  readonly database: DatabaseReader;
  readonly stop: () => Promise<void>;
}

export interface DrainOptions {
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/** What the oracle shall judge. */
export interface Subject {
  readonly published: Iterable<Published>;
  /** What became of it in the database, for messages that went through Roomline. */
  readonly final?: Iterable<FinalRow>;
  /** Acks that were kept without a message. */
  readonly inbox?: Iterable<InboxRow>;
  readonly fences?: Iterable<FenceRow>;
  readonly leaks?: LeakScan;
  readonly options: OracleOptions;
}

const POLL_MS = 200;

/** @throws Error in one line where something does not start, or the signal's reason; nothing is left running then. */
export async function startRig(options: RigOptions): Promise<Rig> {
  const { signal, say = () => undefined, channels = { demo: {} }, profile = 'generic' } = options;
  const warn = options.warn ?? ((line: string) => void process.stderr.write(`${line}\n`));
  const directory = prepareFolder(options.directory);
  const releases: (() => Promise<void> | void)[] = [];
  const stop = async (): Promise<void> => {
    // One that fails must not keep the others running.
    const failures: unknown[] = [];
    for (const release of releases.splice(0).reverse()) {
      await Promise.resolve()
        .then(release)
        .catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  };
  try {
    releases.push(takeLock(join(directory, 'lock'), `the folder ${directory}`));
    await endLeftovers(directory, warn);
    clearLogs(directory);
    const secrets = new Secrets(directory);

    say('Postgres …');
    const { binaries, settings } = options.postgres ?? {};
    const postgres = await startPostgres({
      directory: join(directory, 'postgres'),
      say: warn,
      ...(binaries === undefined ? {} : { binaries }),
      ...(settings === undefined ? {} : { settings }),
    });
    releases.push(() => postgres.stop());
    signal?.throwIfAborted();
    await ensureDatabase(postgres.url());
    const database = new DatabaseReader(postgres.url(DATABASE));
    releases.push(() => database.close());

    say('Pub/Sub and the platform …');
    const httpPort = await usablePort(options.httpPort ?? 0);
    const interruptible = signal === undefined ? {} : { signal };
    const [pubsub, platform] = await both(
      PubSubProcess.start({ directory, ...interruptible }),
      PlatformProcess.start({
        directory,
        seed: options.seed ?? 1,
        profile,
        settings: platformSettings({ profile, channels, httpPort, secrets, patches: options.platform ?? [] }),
        ...(options.leanPlatform === undefined
          ? {}
          : { lean: changeLean(leanEnds(channels, httpPort, secrets), options.leanPlatform) }),
        tls: options.platformTls ?? false,
        ...interruptible,
      }),
      (started) => releases.push(() => started.stop()),
    );

    const engine = new EngineProcess({
      directory,
      apiKey: secrets.apiKey(),
      config: engineConfig(
        {
          httpPort,
          postgresUrl: postgres.url(DATABASE),
          pubsubAddress: pubsub.address,
          platformUrl: platform.url,
          profile,
          channels,
          settings: {
            ...(options.development ? { development: { enabled: true, platformUrl: platform.controlUrl } } : {}),
            ...options.settings,
          },
        },
        secrets,
      ),
      ...(options.platformTls ? { environment: { NODE_EXTRA_CA_CERTS: CERTIFICATE_FILE } } : {}),
      ...(options.command === undefined ? {} : { command: options.command }),
      ...interruptible,
    });
    releases.push(async () => void (await engine.stop()));
    say('the database schema …');
    await engine.migrate();
    say('Roomline …');
    if (options.startEngine ?? true) await engine.start();
    return new Rig({ directory, secrets, postgres, pubsub, platform, engine, database, stop });
  } catch (error) {
    await stop();
    throw error;
  }
}

export class Rig {
  readonly directory: string;
  readonly secrets: Secrets;
  readonly postgres: PostgresServer;
  readonly pubsub: PubSubProcess;
  readonly platform: PlatformProcess;
  readonly engine: EngineProcess;
  readonly database: DatabaseReader;
  readonly #publishers: Publisher[] = [];
  readonly #stopParts: () => Promise<void>;
  #stopping: Promise<void> | null = null;

  constructor(parts: Parts) {
    this.directory = parts.directory;
    this.secrets = parts.secrets;
    this.postgres = parts.postgres;
    this.pubsub = parts.pubsub;
    this.platform = parts.platform;
    this.engine = parts.engine;
    this.database = parts.database;
    this.#stopParts = parts.stop;
  }

  get apiKey(): string {
    return this.secrets.apiKey();
  }

  /** A publisher and its log, which lies in the rig's folder under this name; closed with the rig. */
  publisher(name = 'published'): { readonly publisher: Publisher; readonly log: PublisherLog } {
    const log = new PublisherLog(join(this.directory, `${name}.ndjson`));
    const publisher = new Publisher(this.pubsub, log);
    this.#publishers.push(publisher);
    return { publisher, log };
  }

  /**
   * Messages that Pub/Sub or the store still have to deliver, those aside that wait for an operator. A message on its way
   * between the two may count twice.
   */
  async waiting(): Promise<number> {
    return (await this.pubsub.backlog()) + (await this.database.unsettled());
  }

  /** Resolves when everything published is settled, or waits for an operator. @throws NotInTime */
  async untilDrained(options: DrainOptions): Promise<void> {
    await until('everything is settled', options, async () => (await this.waiting()) === 0);
  }

  /** Resolves when every accepted message is on its phone and every status told. @throws NotInTime */
  async untilQuiet(options: DrainOptions): Promise<void> {
    await until('the platform is quiet', options, async () => underWay(await this.platform.stats()) === 0);
  }

  /** What the oracle says of each of these, in one reading of the platform's log. */
  async judge(subjects: readonly Subject[]): Promise<Verdict[]> {
    const oracles = subjects.map(({ published, options }) => {
      const oracle = new Oracle(options);
      for (const entry of published) oracle.published(entry);
      return oracle;
    });
    for await (const record of this.platform.groundTruth()) for (const oracle of oracles) oracle.record(record);
    return oracles.map((oracle, index) => {
      const { final = [], inbox, fences = [], leaks } = subjects[index] as Subject;
      for (const row of final) oracle.settled(row);
      for (const row of fences) oracle.fence(row);
      if (inbox) oracle.inbox(inbox);
      if (leaks) oracle.leaks(leaks);
      return oracle.verdict();
    });
  }

  /** Resolves with a sentence when a part has ended that nobody stopped. */
  failed(): Promise<string> {
    const parts = [this.pubsub.child, this.platform.child, this.engine.child].filter((child) => child !== null);
    return Promise.race([
      ...parts.map(unexpectedEnd),
      this.postgres.exited.then(() => this.#unlessStopping('Postgres has ended by itself')),
    ]);
  }

  /** Publisher, engine, platform, Pub/Sub, Postgres. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await Promise.all(this.#publishers.map((publisher) => publisher.close()));
    await this.#stopParts();
  }

  #unlessStopping(text: string): Promise<string> | string {
    return this.#stopping === null ? text : never();
  }
}

/** Two that start side by side. Whatever has started is handed over to be stopped, also when the other one fails. */
async function both<A, B>(a: Promise<A>, b: Promise<B>, onStarted: (started: A | B) => void): Promise<[A, B]> {
  for (const each of await Promise.allSettled([a, b])) if (each.status === 'fulfilled') onStarted(each.value);
  return Promise.all([a, b]);
}

async function unexpectedEnd(child: Child): Promise<string> {
  const { code, signal } = await child.ended;
  return child.stopping ? never() : `the ${child.name} has ended by itself (${code ?? signal}); see ${child.logFile}`;
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

/** Something did not come about by its deadline. */
export class NotInTime extends Error {
  override name = 'NotInTime';
}

/** Only for states that announce themselves by no event, such as those of other processes. */
async function until(what: string, { deadlineMs, signal }: DrainOptions, is: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!(await is())) {
    if (performance.now() > deadline) throw new NotInTime(`${what}: not so after ${Math.round(deadlineMs / 1_000)} s`);
    await delay(POLL_MS, null, signal === undefined ? {} : { signal });
  }
}

/** Others may enter the folder, as the account that runs Postgres must; what is secret in it is readable by us alone. */
function prepareFolder(wanted: string): string {
  const made = mkdirSync(resolve(wanted), { recursive: true });
  const directory = realpathSync(wanted);
  if (made !== undefined) chmodSync(directory, 0o755);
  return directory;
}

function clearLogs(directory: string): void {
  rmSync(join(directory, 'logs'), { recursive: true, force: true });
  mkdirSync(join(directory, 'logs'), { mode: 0o700 });
}

/** The wanted port if nobody listens there, else a free one. */
async function usablePort(wanted: number): Promise<number> {
  if (wanted === 0) return freePort();
  const server = createServer();
  const free = await new Promise<boolean>((answer) => {
    server.once('error', () => answer(false));
    server.listen(wanted, '127.0.0.1', () => server.close(() => answer(true)));
  });
  return free ? wanted : freePort();
}

interface PlatformSettingsOptions {
  readonly profile: ProfileName;
  readonly channels: Readonly<Record<string, object>>;
  readonly httpPort: number;
  readonly secrets: Secrets;
  readonly patches: readonly SettingsPatch[];
}

function platformSettings({ profile, channels, httpPort, secrets, patches }: PlatformSettingsOptions): SettingsPatch {
  const { accessToken, knownBy, signsWithToken } = CREDENTIALS[profile];
  const own: SettingsPatch = {
    channels: {
      default: null,
      ...Object.fromEntries(
        Object.entries(channels).map(([name, policy]) => {
          const token = secrets.read(tokenOf(name), accessToken);
          const secret = signsWithToken ? token : secrets.read(WEBHOOK_SECRET);
          const urls = [`http://127.0.0.1:${httpPort}/v1/webhooks/default/${name}`];
          return [name, { token: knownBy?.(policy) ?? token, webhook: { urls, secret } }];
        }),
      ),
    },
  };
  const all = [PROFILES[profile].settings, own, ...patches].reduce<Settings>(changeSettings, defaultSettings);
  // The platform lays this over its defaults again: what was removed has to be named.
  return { ...all, channels: { default: null, ...all.channels } };
}

/** The same of the lean platform, which is always the generic one. */
function leanEnds(channels: Readonly<Record<string, object>>, httpPort: number, secrets: Secrets): LeanSettings {
  const secret = secrets.read(WEBHOOK_SECRET);
  const ends = Object.keys(channels).map((name) => {
    const urls = [`http://127.0.0.1:${httpPort}/v1/webhooks/default/${name}`];
    return [name, { token: secrets.read(tokenOf(name)), webhook: { urls, secret } }] as const;
  });
  return { defaults: {}, channels: Object.fromEntries(ends) };
}
