/** One chaos run: start everything, publish, break things by plan, let it drain, judge. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DATABASE } from '../rig/database.ts';
import { EngineProcess } from '../rig/engine.ts';
import { engineConfig } from '../rig/engine-config.ts';
import type { PublisherLog } from '../rig/publisher-log.ts';
import { findRedis, type RedisServer, startRedis } from '../rig/redis.ts';
import { NotInTime, type Rig, startRig } from '../rig/rig.ts';
import { WallClocks } from './clocks.ts';
import { ALL_ROLES, Engine, type EngineEvents, type MakeProcess } from './engines.ts';
import { type Account, askOracle, type Check, scanLogs } from './judge.ts';
import { Load } from './load.ts';
import type { FleetSize } from './options.ts';
import { perform } from './perform.ts';
import { clockText, describeFault, type PlannedFault, type Role } from './plan.ts';
import { type Report, summarize } from './report.ts';
import { CHANNEL_POLICIES, CHANNELS, ENGINE_SETTINGS, FLEET_POSTGRES, LEASE_MS, PLATFORM } from './settings.ts';
import type { Deed, FleetParts, World } from './world.ts';

export interface RunOptions {
  readonly directory: string;
  readonly plan: readonly PlannedFault[];
  readonly seed: number;
  readonly minutes: number;
  readonly rooms: number;
  readonly rate: number;
  /** How many, where they are no fleet. */
  readonly engines: number;
  readonly fleet?: FleetSize | null;
  /** libfaketime's path; null where there is none. */
  readonly clockLibrary: string | null;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** What became of a planned fault. */
export interface Done extends Deed {
  readonly fault: PlannedFault;
}

/** Configured like this one, down to the name. */
const TWIN_OF = 'engine-worker-1';
const TWIN = 'engine-twin';
/** Workers that a fleet grows to. */
const MOST_WORKERS = 8;

const STATUS_MS = 15_000;
const HOLDER_DEADLINE_MS = 60_000;
const POLL_MS = 50;
const TAIL_DEADLINE_MS = 180_000;

/** @throws Error where something could not be started or done, or the signal's reason. */
export async function runChaos(options: RunOptions): Promise<Report> {
  const { plan, signal, say } = options;
  const events = new Events(say);
  const run = await start(options, events);
  const { rig, engines, load } = run;
  try {
    say(`load: ${options.rate} messages/s in ${options.rooms} rooms for ${clockText(options.minutes * 60_000).trim()}`);
    const broken = new AbortController();
    const during = AbortSignal.any([signal, broken.signal, events.refused.signal]);
    const world: World = {
      rig,
      engines,
      fleet: run.fleet,
      load,
      clocks: run.clocks,
      leaseMs: LEASE_MS,
      signal: during,
      onHolderKilled: (worker) => events.killedHolders.add(worker),
    };
    const startedAt = performance.now();
    const status = setInterval(() => void tellStatus(run, startedAt, say), STATUS_MS);
    try {
      // One that fails ends all others; each undoes what it has done before we go on.
      const orEnd = <T>(work: Promise<T>): Promise<T> =>
        work.catch((error: unknown) => {
          broken.abort(error);
          throw error;
        });
      const [, ...ends] = await Promise.allSettled([
        orEnd(load.run(options.minutes * 60_000, during)),
        ...plan.map((fault) => orEnd(carryOut(world, fault, startedAt, say))),
      ]);
      during.throwIfAborted();
      const done = ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
      say(`${clockText(performance.now() - startedAt)} the quiet tail: everything has to drain`);
      const tail = await drain(run, during);
      return await judgeRun(options, run, events, done, tail);
    } finally {
      clearInterval(status);
    }
  } finally {
    await run.stop();
  }
}

interface Running {
  readonly rig: Rig;
  readonly engines: readonly Engine[];
  readonly load: Load;
  readonly log: PublisherLog;
  readonly clocks: WallClocks;
  readonly fleet: FleetParts | null;
  readonly stop: () => Promise<void>;
}

interface Member {
  readonly name: string;
  readonly roles: readonly Role[];
  readonly checkout?: string;
}

/** Who runs: engines that do everything, or processes by roles. */
function rosterOf({ engines, fleet }: RunOptions): Member[] {
  const several = (count: number, word: string, roles: readonly Role[]): Member[] =>
    Array.from({ length: count }, (_, index) => ({ name: `engine-${word}${index + 1}`, roles }));
  if (fleet === null || fleet === undefined) return several(engines, '', ALL_ROLES);
  return [
    ...several(fleet.workers, 'worker-', ['worker']),
    ...several(fleet.webhooks, 'webhook-', ['webhook', 'api']),
    ...several(fleet.intakes, 'intake-', ['intake']),
    ...(fleet.beside === null ? [] : [{ name: 'engine-beside', roles: ALL_ROLES, checkout: fleet.beside }]),
  ];
}

/** What a fleet has beside what runs. */
async function idleWorkers(
  workers: number,
  create: (member: Member) => Promise<Engine>,
): Promise<Pick<FleetParts, 'twin' | 'reserves'>> {
  const reserves: Engine[] = [];
  for (let number = workers + 1; number <= MOST_WORKERS; number++) {
    reserves.push(await create({ name: `engine-worker-${number}`, roles: ['worker'] }));
  }
  return { twin: await create({ name: TWIN, roles: ['worker'] }), reserves };
}

/** @throws Error where no Redis is installed */
async function startFleetRedis(): Promise<RedisServer> {
  const program = findRedis();
  if (program === null) throw new Error('a fleet needs Redis (on Debian: apt-get install redis-server)');
  return startRedis(program);
}

async function start(options: RunOptions, events: Events): Promise<Running> {
  const { directory, seed, signal, say } = options;
  let rig: Rig | null = null;
  const started = (): Rig => {
    if (rig === null) throw new Error('the rig has not started');
    return rig;
  };
  const parts = {
    postgres: () => ({ host: '127.0.0.1', port: started().postgres.port }),
    pubsub: () => addressOf(`http://${started().pubsub.address}`),
    platform: () => addressOf(started().platform.url),
  };
  const isFleet = (options.fleet ?? null) !== null;
  const redis = isFleet ? await startFleetRedis() : null;
  const redisPart = redis === null ? {} : { redis: () => ({ host: '127.0.0.1', port: redis.port }) };
  const all: Engine[] = [];
  const create = async ({ name, ...member }: Member): Promise<Engine> => {
    const engine = await Engine.create(name, { parts: { ...parts, ...redisPart }, ...member, events, signal });
    all.push(engine);
    return engine;
  };
  const stop = async (): Promise<void> => {
    redis?.resume();
    for (const engine of all) engine.resume();
    await Promise.all(all.map((engine) => engine.terminate()));
    await rig?.stop();
    await Promise.all(all.map((engine) => engine.links.close()));
    await redis?.stop();
  };
  try {
    const engines: Engine[] = [];
    for (const member of rosterOf(options)) engines.push(await create(member));
    const fleet = redis === null ? null : { redis, ...(await idleWorkers(options.fleet?.workers ?? 0, create)) };
    const withRole = (role: Role) => engines.filter(({ roles }) => roles.has(role));
    const webhooks = Object.fromEntries(
      CHANNELS.map((channel) => [
        channel,
        { webhook: { urls: withRole('webhook').map(({ url }) => `${url}/v1/webhooks/default/${channel}`) } },
      ]),
    );
    rig = await startRig({
      directory,
      seed,
      channels: CHANNEL_POLICIES,
      settings: ENGINE_SETTINGS,
      platform: [PLATFORM, { channels: webhooks }],
      ...(isFleet ? { postgres: { settings: FLEET_POSTGRES } } : {}),
      startEngine: false,
      signal,
      say,
      warn: say,
    });
    const clocks = new WallClocks(directory, options.clockLibrary);
    const make = processMaker(rig, clocks, signal);
    for (const engine of all) engine.prepare(make);
    say(`${engines.length} engines …`);
    await Promise.all(engines.map((engine) => engine.start()));
    await untilHeld(engines, signal);
    const { publisher, log } = rig.publisher();
    const load = new Load({
      publisher,
      log,
      channels: CHANNELS,
      rooms: options.rooms,
      rate: options.rate,
      seed,
      apiKey: rig.apiKey,
      urls: () => withRole('api').map(({ url }) => url),
    });
    return {
      rig,
      engines,
      load,
      log,
      clocks,
      fleet,
      stop: async () => {
        load.stop();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function processMaker(rig: Rig, clocks: WallClocks, signal: AbortSignal): MakeProcess {
  return ({ name, roles, httpPort, links, isFleet, checkout }, onLine) => {
    const postgresUrl = new URL(rig.postgres.url(DATABASE));
    postgresUrl.port = String(links.address('postgres').port);
    const file = rig.secrets.write(`postgres-url-${name}`, postgresUrl.href);
    const { host, port } = links.address('pubsub');
    const config = engineConfig(
      {
        httpPort,
        postgresUrl: rig.postgres.url(DATABASE),
        pubsubAddress: `${host}:${port}`,
        platformUrl: `http://127.0.0.1:${links.address('platform').port}`,
        channels: CHANNEL_POLICIES,
        settings: {
          ...ENGINE_SETTINGS,
          ownership: ownershipOf(name, checkout),
          ...(isFleet
            ? {
                // A version that knows no roles does everything.
                node: {
                  name: name === TWIN ? TWIN_OF : name,
                  ...(checkout === undefined ? { roles: [...roles] } : {}),
                },
                redis: { url: `redis://127.0.0.1:${links.address('redis').port}` },
              }
            : { node: { name } }),
          postgres: { ...ENGINE_SETTINGS.postgres, url: { file } },
        },
      },
      rig.secrets,
    );
    return new EngineProcess({
      directory: rig.directory,
      name,
      config,
      apiKey: rig.apiKey,
      environment: clocks.environment(name),
      ...(checkout === undefined ? {} : { command: join(checkout, 'src/cli/roomline.mjs') }),
      onLine,
      signal,
    });
  };
}

/** Half of them live on after they stood still: what was stopped and goes on is harmless even then. */
function ownershipOf(name: string, checkout: string | undefined): object {
  const { ownership } = ENGINE_SETTINGS;
  const livesOn = checkout === undefined && /[13579]$/.test(name);
  return livesOn ? { ...ownership, stallLimitMs: 600_000 } : ownership;
}

async function untilHeld(engines: readonly Engine[], signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + HOLDER_DEADLINE_MS;
  while (!engines.some(({ holder }) => holder !== null)) {
    if (performance.now() > deadline) throw new Error('no engine has taken any shard');
    await delay(POLL_MS, null, { signal });
  }
}

async function carryOut(
  world: World,
  fault: PlannedFault,
  startedAt: number,
  say: (line: string) => void,
): Promise<Done> {
  await delay(Math.max(0, startedAt + fault.atMs - performance.now()), null, { signal: world.signal });
  // A fault that could not be done has not fired; the run goes on to its verdict.
  const deed = await perform(world, fault).catch((error: unknown): Deed => {
    world.signal.throwIfAborted();
    return { fired: false, did: `it failed: ${(error as Error).message}` };
  });
  const now = clockText(performance.now() - startedAt);
  say(`${now} #${fault.number} ${describeFault(fault)} → ${deed.fired ? '' : 'NOTHING HAPPENED: '}${deed.did}`);
  return { fault, ...deed };
}

async function tellStatus(run: Running, startedAt: number, say: (line: string) => void): Promise<void> {
  const stats = await run.rig.platform.stats().catch(() => null);
  const { planned, accepted } = run.load;
  const holders = run.engines.filter(({ holder }) => holder !== null).map(({ name }) => name);
  const shown = stats === null ? 'unknown' : String(stats.shown);
  const now = clockText(performance.now() - startedAt);
  say(
    `${now}   ${planned} published, ${accepted} taken, ${shown} shown; shards held by ${holders.join(', ') || 'none'}`,
  );
}

interface Tail {
  readonly ms: number;
  /** What was not done in time; null where all was. */
  readonly late: string | null;
}

async function drain({ rig, load }: Running, signal: AbortSignal): Promise<Tail> {
  const startedAt = performance.now();
  const options = { deadlineMs: TAIL_DEADLINE_MS, signal };
  try {
    await Promise.race([load.untilTaken(), notInTime('everything is taken', options)]);
    await rig.untilDrained(options);
    await rig.untilQuiet(options);
    return { ms: performance.now() - startedAt, late: null };
  } catch (error) {
    if (!(error instanceof NotInTime)) throw error;
    return { ms: performance.now() - startedAt, late: error.message };
  }
}

async function notInTime(what: string, { deadlineMs, signal }: { deadlineMs: number; signal: AbortSignal }) {
  await delay(deadlineMs, null, { signal, ref: false });
  throw new NotInTime(`${what}: not so after ${deadlineMs / 1_000} s`);
}

async function judgeRun(
  options: RunOptions,
  run: Running,
  events: Events,
  faults: readonly Done[],
  tail: Tail,
): Promise<Report> {
  const { rig, engines, load, log } = run;
  load.stop();
  const codes = await Promise.all(engines.map((engine) => engine.terminate()));
  const published: Account[] = [...log.accounts()];
  const leaks = await scanLogs(rig);
  const verdicts = Object.fromEntries(
    await Promise.all(
      CHANNELS.map(
        async (channel) =>
          [channel, await askOracle(rig, channel, published, events.killedHolders.size, leaks)] as const,
      ),
    ),
  );
  const { planned, accepted } = load;
  const settled = Object.values(verdicts).reduce(
    (sum, { messages }) => sum + Object.values(messages.outcomes).reduce((total, count) => total + count, 0),
    0,
  );
  const acked = Object.values(verdicts).reduce((sum, { messages }) => sum + (messages.outcomes.acked ?? 0), 0);
  const idle = faults.filter(({ fired }) => !fired);
  const notTakenOver = [...events.killedHolders].filter((worker) => !events.takenOver.has(worker));
  const checks: Check[] = [
    check(
      'every planned fault fired',
      idle.length === 0 && faults.length > 0,
      `${faults.length - idle.length} of ${faults.length}`,
    ),
    check(
      'at least 95 % of the load accepted',
      accepted >= 0.95 * planned && accepted > 0,
      `${accepted} of ${planned}`,
    ),
    check('everything drained, phones quiet', tail.late === null, tail.late ?? `${(tail.ms / 1_000).toFixed(1)} s`),
    check('what was accepted is settled', settled >= accepted, `${settled} of ${accepted}`),
    // Without acks there is no order to prove.
    check('at least a fifth was settled by an ack', acked >= 0.2 * settled && acked > 0, `${acked} of ${settled}`),
    check(
      'a take-over after each kill of a holder',
      notTakenOver.length === 0,
      `${events.killedHolders.size - notTakenOver.length} of ${events.killedHolders.size}`,
    ),
    check('no room was left waiting', events.livenessViolations === 0, `${events.livenessViolations} violations`),
    check('no error that nobody handled', events.unhandled.length === 0, events.unhandled.join('; ') || 'none'),
    check(
      'engines ended in good order',
      codes.every((code) => code === 0),
      codes.join(', '),
    ),
    ...Object.entries(verdicts).map(([channel, { clean, broken }]) =>
      check(`the oracle on ${channel}`, clean, clean ? 'clean' : JSON.stringify(broken)),
    ),
  ];
  return summarize({
    seed: options.seed,
    minutes: options.minutes,
    engines: engines.length,
    rooms: options.rooms,
    planned,
    accepted,
    settled,
    takeOvers: events.takenOver.size,
    kills: events.killedHolders.size,
    endedByThemselves: events.endedByThemselves,
    failedStarts: events.failedStarts,
    tailMs: Math.round(tail.ms),
    faults,
    links: Object.fromEntries(engines.map(({ name, links }) => [name, links.counts()])),
    checks,
    verdicts,
  });
}

function check(name: string, ok: boolean, found: string): Check {
  return { name, ok, found };
}

/** What the engines tell of themselves. */
class Events implements EngineEvents {
  /** Aborts with what an engine that will never start again has said. */
  readonly refused = new AbortController();
  readonly killedHolders = new Set<string>();
  readonly takenOver = new Set<string>();
  readonly unhandled: string[] = [];
  livenessViolations = 0;
  endedByThemselves = 0;
  failedStarts = 0;
  readonly #say: (line: string) => void;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  onTakenOver(holder: string): void {
    this.takenOver.add(holder);
  }

  onLivenessViolated(line: string): void {
    this.livenessViolations++;
    this.#say(`  a room was left waiting: ${line}`);
  }

  onProcessFailed(engine: Engine, reason: string, line: string): void {
    if (/^(uncaught_exception|unhandled_rejection)$/.test(reason)) this.unhandled.push(`${engine.name}: ${reason}`);
    this.#say(`  ${engine.name} failed: ${line}`);
  }

  onEndedByItself(engine: Engine): void {
    this.endedByThemselves++;
    this.#say(`  ${engine.name} has ended by itself and is started again`);
  }

  onRefused(engine: Engine, error: Error): void {
    this.#say(`  ${engine.name} refuses to start`);
    this.refused.abort(error);
  }

  onFailedStart(engine: Engine): void {
    this.failedStarts++;
    this.#say(`  ${engine.name} could not start and is started again`);
  }
}

function addressOf(url: string): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
}
