import { createServer } from 'node:http';
import { type ChallengeResult, challengeWebhooks } from './challenge.ts';
import { type Clock, Scheduler, systemClock, systemTimers, type Timers } from './clock.ts';
import { controlHandler } from './control.ts';
import { generic } from './generic.ts';
import { type GroundTruth, GroundTruthLog } from './ground-truth.ts';
import { Lookup } from './lookup.ts';
import { type OutagePlan, Outages } from './outages.ts';
import { Phones } from './phone.ts';
import type { Profile } from './profile.ts';
import { Registry } from './registry.ts';
import { Resolver } from './resolve.ts';
import { Sending } from './sending.ts';
import { listen, PlatformServer, shut } from './server.ts';
import { changeSettings, defaultSettings, type Settings, SettingsError, type SettingsPatch } from './settings.ts';
import { newStats, type Stats } from './stats.ts';
import { Statuses } from './statuses.ts';
import { Uploads } from './uploads.ts';
import { Webhooks } from './webhooks.ts';
import type { World } from './world.ts';

export interface FakePlatformOptions {
  seed?: number | string;
  host?: string;
  /** 0, the default: any free port. */
  port?: number;
  /** Of a second listener for the control API alone, which outages do not touch. */
  controlPort?: number;
  /** Serve https with the certificate in `tls/`; the control API's own port stays plain (default false). */
  tls?: boolean;
  profile?: Profile;
  /** Laid over the defaults, one after the other. */
  settings?: SettingsPatch | SettingsPatch[];
  /** Ground truth is appended to this file as NDJSON. */
  logFile?: string;
  /** Keep the ground truth readable (default true). */
  keepInMemory?: boolean;
  clock?: Clock;
  timers?: Timers;
}

export interface PlatformStats extends Stats {
  /** Milliseconds since the start. */
  uptimeMs: number;
  connections: number;
  /** Statuses that wait for a webhook call, and calls under way. */
  webhooksWaiting: number;
  webhooksActive: number;
}

export interface FakePlatformControl {
  readonly settings: Settings;
  /** Changes knobs while running; all or nothing. Throws SettingsError. */
  change(patch: SettingsPatch): Settings;
  stats(): PlatformStats;
  /** Throws SettingsError. */
  scheduleOutage(plan: OutagePlan): void;
  outages(): OutagePlan[];
  endOutages(): void;
  /** Statuses of one channel, or of all, are kept until the flush. Throws SettingsError for an unknown channel. */
  holdWebhooks(channel?: string): void;
  flushWebhooks(channel?: string): void;
  /** Nothing more is told until the next subscription, and what is not told then is lost. Throws SettingsError. */
  unsubscribeWebhooks(channel?: string): void;
  subscribeWebhooks(channel?: string): void;
  /** Sends these items as they are, correctly signed. Throws SettingsError for an unknown channel. */
  injectStatuses(channel: string, items: unknown[]): void;
  /**
   * Asks the channel's webhook addresses whether they are its own, with the right and with a wrong token. Rejects with
   * SettingsError where the platform asks no such question.
   */
  challengeWebhooks(channel: string, verifyToken: string): Promise<ChallengeResult[]>;
  /** Resolves as soon as nothing more will happen by itself: no request open, no message or status on its way. */
  whenIdle(): Promise<void>;
}

export interface FakePlatform {
  /** Resolves when both ports listen. */
  start(): Promise<void>;
  /** Drops what is under way, closes both ports and completes the log file. Idempotent. */
  stop(): Promise<void>;
  readonly url: string;
  readonly controlUrl: string;
  readonly control: FakePlatformControl;
  readonly groundTruth: GroundTruth;
}

/** A fake messaging platform, not started yet. Throws SettingsError. */
export const createFakePlatform = (options: FakePlatformOptions = {}): FakePlatform => {
  const { clock = systemClock, host = '127.0.0.1', profile = generic } = options;
  const patches = options.settings ?? [];
  const initial = (Array.isArray(patches) ? patches : [patches]).reduce<Settings>(
    changeSettings,
    changeSettings(defaultSettings, profile.settings),
  );
  const startedAt = clock.monotonicMs();
  const idleWaiters: (() => void)[] = [];
  const scheduler = new Scheduler(options.timers ?? systemTimers, () => world.checkIdle());
  const world: World = {
    seed: String(options.seed ?? 1),
    profile,
    clock,
    scheduler,
    truth: new GroundTruthLog({ file: options.logFile, keepInMemory: options.keepInMemory ?? true }),
    stats: newStats(),
    resolver: new Resolver(initial),
    now: () => Math.round((clock.monotonicMs() - startedAt) * 1_000) / 1_000,
    checkIdle: () => {
      if (idleWaiters.length > 0 && idle()) for (const resolve of idleWaiters.splice(0)) resolve();
    },
  };

  const webhooks = new Webhooks(world);
  const statuses = new Statuses(world, webhooks);
  const phones = new Phones(world, statuses);
  const registry = new Registry(world);
  const outages = new Outages(world, {
    tls: options.tls ?? false,
    close: () => server.close(),
    open: () => server.open(),
    cut: () => server.cut(),
    cutSwallowed: () => server.cutSwallowed(),
  });
  const uploads = new Uploads(world);
  const sending = new Sending(world, registry, phones, statuses, outages, uploads);
  const idle = () => scheduler.pending === 0 && sending.open === 0 && uploads.open === 0 && webhooks.load.idle;

  const knownChannel = (name: string | undefined): string | undefined => {
    if (name === undefined || world.resolver.settings.channels[name] !== undefined) return name;
    throw new SettingsError(`unknown channel "${name}"`);
  };
  const note = (event: string, detail?: unknown) =>
    world.truth.append({ t: 'event', at: world.now(), event, ...(detail === undefined ? {} : { detail }) });

  const control: FakePlatformControl = {
    get settings() {
      return world.resolver.settings;
    },
    change: (patch) => {
      world.resolver = new Resolver(changeSettings(world.resolver.settings, patch));
      note('settings_changed');
      server.applySettings();
      phones.recheck();
      return world.resolver.settings;
    },
    stats: () => {
      const { waiting, active } = webhooks.load;
      return {
        uptimeMs: world.now(),
        connections: server.connections,
        webhooksWaiting: waiting,
        webhooksActive: active,
        ...structuredClone(world.stats),
      };
    },
    scheduleOutage: (plan) => outages.schedule(plan),
    outages: () => outages.active,
    endOutages: () => outages.endAll(),
    holdWebhooks: (channel) => {
      webhooks.hold(knownChannel(channel));
      note('webhooks_held', channel);
    },
    flushWebhooks: (channel) => {
      webhooks.flush(knownChannel(channel));
      note('webhooks_flushed', channel);
    },
    unsubscribeWebhooks: (channel) => webhooks.unsubscribe(knownChannel(channel)),
    subscribeWebhooks: (channel) => {
      webhooks.subscribe(knownChannel(channel));
      note('webhooks_subscribed', channel);
    },
    injectStatuses: (channel, items) => {
      knownChannel(channel);
      webhooks.inject(channel, items);
    },
    challengeWebhooks: async (channel, verifyToken) => {
      knownChannel(channel);
      const results = await challengeWebhooks(world, channel, verifyToken);
      note('webhooks_challenged', { channel, results });
      return results;
    },
    whenIdle: () =>
      new Promise((resolve) => {
        idleWaiters.push(resolve);
        world.checkIdle();
      }),
  };

  const handleControl = controlHandler(control, () => world.truth.ndjson());
  const lookup = new Lookup(world, registry);
  const server = new PlatformServer(world, sending, lookup, uploads, outages, handleControl, options.tls ?? false);
  const controlServer = createServer(handleControl);
  const stop = async () => {
    scheduler.stop();
    await webhooks.stop();
    await Promise.all([server.stop(), shut(controlServer)]);
    await world.truth.close();
  };
  let stopping: Promise<void> | undefined;
  let url = '';
  let controlUrl = '';

  return {
    control,
    groundTruth: world.truth,
    get url() {
      return url;
    },
    get controlUrl() {
      return controlUrl;
    },
    start: async () => {
      url = await server.start(host, options.port ?? 0);
      const { port } = await listen(controlServer, host, options.controlPort ?? 0);
      controlUrl = `http://${host}:${port}`;
      const wall = Math.round(clock.wallMs());
      world.truth.append({ t: 'start', at: world.now(), wall, seed: world.seed, profile: profile.name });
    },
    stop: () => {
      stopping ??= stop();
      return stopping;
    },
  };
};
