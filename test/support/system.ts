/**
 * A whole Roomline for system tests: every part is a real process, so that faults are real ones, and the oracle decides
 * what came of them. Each test has rooms of its own, named after its traffic; parts may be shared by the tests of a file.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { expect } from 'vitest';
import type { FinalRow, OracleOptions, Published, Verdict } from '../../simulators/oracle/types.ts';
import type { SettingsPatch } from '../../simulators/platform/settings.ts';
import { DATABASE } from '../../simulators/rig/database.ts';
import { scanEngineLogs } from '../../simulators/rig/leaks.ts';
import type { LoadMessage, Publisher } from '../../simulators/rig/publisher.ts';
import type { PublisherLog } from '../../simulators/rig/publisher-log.ts';
import { type Rig, type RigOptions, startRig } from '../../simulators/rig/rig.ts';
import { eventually } from './events.ts';

/** How long outages last: 10 s by default, so that the tests stay short; ROOMLINE_SYSTEM_OUTAGE_SECONDS makes it more. */
export const OUTAGE_MS = 1_000 * Number(process.env.ROOMLINE_SYSTEM_OUTAGE_SECONDS ?? 10);

/** For a test that waits for an outage, on a machine that may be busy with other tests. */
export const TEST_TIMEOUT_MS = 120_000 + 4 * OUTAGE_MS;

export const LEASE_MS = 2_000;
export const SEND_TIMEOUT_MS = 1_000;
export const ACK_TIMEOUT_MS = 2_000;

/** Begin every recipient and every text of the tests: neither may ever be found in a log. */
const RECIPIENT_CANARY = 'recipient-c4nary';
const TEXT_CANARY = 'text-c4nary';

const DEADLINE_MS = 60_000 + 2 * OUTAGE_MS;
const POLL_MS = 50;
/** What every run must give the oracle to look at; latencies and logs are looked at elsewhere. */
const CHECKS_OF_A_RUN = ['C1', 'C2', 'C3', 'C4', 'C5', 'C6', 'C7', 'C8', 'C9'] as const;
/** Times of the platform and of the database come from one clock, but are rounded and read at their own moments. */
const CLOCK_MARGIN_MS = 20;

/** Reading what became of many messages costs more. */
const SETTLED_POLL_MS = 200;

export const SETTINGS = {
  // A busy machine may stand still for longer than a lease: only a test of the watchdog ends an engine for that.
  ownership: { leaseMs: LEASE_MS, renewEveryMs: 400, sweepEveryMs: 1_000, stallLimitMs: 600_000 },
  // Everything that Roomline can log is logged, so that what must not be there would be found.
  log: { level: 'debug' },
  channelDefaults: {
    ackTimeoutMs: ACK_TIMEOUT_MS,
    sendTimeoutMs: SEND_TIMEOUT_MS,
    backoff: { initialMs: 100, maxMs: 1_000, factor: 2, jitter: 0.2 },
    unknownGraceMs: 300,
    probe: { initialMs: 250, maxMs: 1_000 },
  },
};

/** A platform with short ways, on which nothing goes wrong by itself. */
export const QUICK_PLATFORM: SettingsPatch = {
  message: {
    send: { responseDelayMs: { kind: 'lognormal', medianMs: 15, p99Ms: 100 } },
    phone: { delayMs: { kind: 'lognormal', medianMs: 60, p99Ms: 400 } },
    status: { sent: { delayMs: { kind: 'lognormal', medianMs: 30, p99Ms: 200 } } },
  },
  // Seconds become tenths of them: refused webhooks come again soon.
  channel: { webhooks: { timeScale: 0.1, deadlineMs: 3_000 } },
};

export type SystemOptions = Pick<RigOptions, 'channels' | 'settings' | 'platform' | 'development'>;

export async function startSystem(options: SystemOptions = {}): Promise<System> {
  const directory = mkdtempSync(join(tmpdir(), 'roomline-system-'));
  // As root, Postgres runs under another account, which must be able to enter.
  chmodSync(directory, 0o755);
  const { channelDefaults, ...settings } = (options.settings ?? {}) as Readonly<Record<string, object>>;
  try {
    const rig = await startRig({
      directory,
      channels: options.channels ?? { main: {} },
      development: options.development ?? false,
      settings: {
        ...SETTINGS,
        ...settings,
        channelDefaults: { ...SETTINGS.channelDefaults, ...channelDefaults },
      },
      platform: [QUICK_PLATFORM, ...(options.platform ?? [])],
    });
    return new System(rig);
  } catch (error) {
    removeFolder(directory);
    throw error;
  }
}

/** ROOMLINE_SYSTEM_KEEP=1 leaves the folders with their logs and data, to look into what went wrong. */
function removeFolder(directory: string): void {
  if (process.env.ROOMLINE_SYSTEM_KEEP === '1') process.stdout.write(`kept: ${directory}\n`);
  else rmSync(directory, { recursive: true, force: true });
}

export interface LogLine {
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the service answered, for assertions
  readonly body: any;
}

export interface Readiness {
  readonly ready: boolean;
  /** Names of the dependencies that do not serve. */
  readonly away: readonly string[];
}

export class System {
  readonly rig: Rig;
  readonly #survived = new Map<string, number>();

  constructor(rig: Rig) {
    this.rig = rig;
  }

  /** Traffic of its own rooms; `run` has to be new. */
  traffic(run: string, plan: TrafficPlan): Traffic {
    return new Traffic(this, run, plan);
  }

  // ------------------------------------------------------------------------------------------------------ its faults

  /** Starts Roomline where a test that failed has left it ended. */
  async ensureRunning(): Promise<void> {
    if (this.rig.engine.child?.running !== true) await this.rig.engine.start();
  }

  async killEngine(): Promise<void> {
    await this.rig.engine.kill9();
    this.count('engine killed');
  }

  /** Kills the server, and starts it again on its data afterwards. */
  async killPostgres(meanwhile: () => Promise<void> = async () => undefined): Promise<void> {
    await this.rig.postgres.kill9();
    this.count('Postgres killed');
    await meanwhile();
    await this.rig.postgres.restart();
  }

  /** Kills the process, and starts it again with what nobody acknowledged. */
  async killPubSub(meanwhile: () => Promise<void> = async () => undefined): Promise<void> {
    await this.rig.pubsub.kill9();
    this.count('Pub/Sub killed');
    await meanwhile();
    await this.rig.pubsub.start();
  }

  /** Knobs of one channel, until they are changed again. */
  async channelKnobs(channel: string, knobs: object): Promise<void> {
    await this.rig.platform.change({ channels: { [channel]: knobs } });
  }

  count(fault: string, by = 1): void {
    this.#survived.set(fault, (this.#survived.get(fault) ?? 0) + by);
  }

  // ------------------------------------------------------------------------------------------------ what it looks like

  /** With the key that may do everything. A text or bytes go out as they are, anything else as JSON. */
  async call(method: string, path: string, body?: string | Buffer | object, headers?: object): Promise<Answer> {
    const raw = typeof body === 'string' || body instanceof Buffer;
    const response = await fetch(`${this.rig.engine.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.rig.apiKey}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: raw ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? null : JSON.parse(text) };
  }

  async readiness(): Promise<Readiness> {
    const { body } = await this.call('GET', '/readyz');
    const { ready, dependencies } = body as { ready: boolean; dependencies: { name: string; ok: boolean }[] };
    return { ready, away: dependencies.filter(({ ok }) => !ok).map(({ name }) => name) };
  }

  untilReady(): Promise<unknown> {
    return this.eventually('everything is ready', async () => (await this.readiness()).ready);
  }

  /** The condition of a channel as the API tells it. */
  async channel(name: string): Promise<{ readonly state: string; readonly reason: string | null }> {
    const { body } = await this.call('GET', '/v1/channels');
    const { channels } = body as { channels: { channel: string; state: string; reason: string | null }[] };
    const found = channels.find(({ channel }) => channel === name);
    if (found === undefined) throw new Error(`no channel ${name}`);
    return found;
  }

  async query<T extends pg.QueryResultRow>(sql: string, parameters: readonly unknown[] = []): Promise<T[]> {
    const client = new pg.Client({ connectionString: this.rig.postgres.url(DATABASE) });
    await client.connect();
    try {
      return (await client.query<T>(sql, [...parameters])).rows;
    } finally {
      await client.end();
    }
  }

  /** Like `eventually` with a deadline for these tests; fails at once where Roomline has ended by itself. */
  eventually<T>(
    what: string,
    condition: () => Promise<T | false | null | undefined> | T | false | null | undefined,
    everyMs: number = POLL_MS,
  ): Promise<T> {
    const looked = async () => {
      const { child } = this.rig.engine;
      if (child !== null && !child.running && !child.stopping) {
        throw new Error(`Roomline has ended by itself: ${this.#lastLines()}`);
      }
      return condition();
    };
    return eventually(what, looked, { deadlineMs: DEADLINE_MS, everyMs });
  }

  // ------------------------------------------------------------------------------------------------------------- logs

  /** What Roomline has printed in all its lives. */
  log(name = 'engine'): string {
    return readFileSync(join(this.rig.directory, 'logs', `${name}.log`), 'utf8');
  }

  logged(event: LogLine['event']): LogLine[] {
    return this.log()
      .split('\n')
      .filter((line) => line.includes(`"${event}"`))
      .map((line) => JSON.parse(line) as LogLine)
      .filter((line) => line.event === event);
  }

  /** Names of what must not be in a log, and is, as it is or encoded. */
  async leaks(): Promise<string[]> {
    const { leaks } = await scanEngineLogs(this.rig, [
      { name: 'a recipient', text: RECIPIENT_CANARY },
      { name: 'a text', text: TEXT_CANARY },
    ]);
    return leaks.map(({ canary, form }) => `${canary} (${form})`);
  }

  #lastLines(): string {
    return this.log().trim().split('\n').slice(-5).join('\n');
  }

  /** Ends everything, tells in one line what was survived, and leaves nothing behind. @throws Error on a leaky log */
  async stop(): Promise<void> {
    try {
      const { faults } = await this.rig.platform.stats();
      for (const [name, by] of Object.entries(faults)) this.count(name, by);
      await this.rig.stop();
      const told = [...this.#survived].map(([name, by]) => `${name} ${by}`).join(', ');
      process.stdout.write(`faults survived: ${told || 'none were meant to be'}\n`);
      const leaks = await this.leaks();
      if (leaks.length > 0) throw new Error(`the log holds ${leaks.join(', ')}`);
    } finally {
      await this.rig.stop();
      removeFolder(this.rig.directory);
    }
  }
}

export interface TrafficPlan {
  readonly rooms: number;
  readonly messages: number;
  /** `main` by default. */
  readonly channel?: string;
  /** Messages carry their index as their publisher's order. */
  readonly ordered?: boolean;
}

/** Messages of some rooms from their publishing to the oracle's verdict. */
export class Traffic {
  readonly channel: string;
  /** Begins the names of its rooms, which are its recipients, too. */
  readonly prefix: string;
  readonly #system: System;
  readonly #run: string;
  readonly #plan: TrafficPlan;
  readonly #publisher: Publisher;
  readonly #log: PublisherLog;
  /** Keys of messages whose number had been given up. */
  readonly #late = new Set<string>();

  constructor(system: System, run: string, plan: TrafficPlan) {
    this.channel = plan.channel ?? 'main';
    this.prefix = `${RECIPIENT_CANARY}-${run}-`;
    this.#system = system;
    this.#run = run;
    this.#plan = plan;
    const { publisher, log } = system.rig.publisher(run);
    this.#publisher = publisher;
    this.#log = log;
  }

  /** Messages of the plan. */
  get size(): number {
    return this.#plan.rooms * this.#plan.messages;
  }

  room(number: number): string {
    return `${this.prefix}${number}`;
  }

  message(room: number, index: number): LoadMessage {
    const key = `${this.#run}/${room}/${index}`;
    const text = `${TEXT_CANARY} ${index} of ${this.#run}`;
    return {
      channel: this.channel,
      room: this.room(room),
      messageId: key,
      content: { key, run: this.#run, index, text },
    };
  }

  /** Publishes the next message of every room at a time, spread over so long; resolves when Pub/Sub has confirmed all. */
  async publish(overMs = 0): Promise<void> {
    const { messages } = this.#plan;
    for (let index = 1; index <= messages; index++) {
      await Promise.all([this.publishWave(index), delay(overMs / messages)]);
    }
  }

  /**
   * Publishes this message of every room.
   * @param late its number, in a plan with an order, has been given up
   */
  async publishWave(index: number, late = false): Promise<void> {
    const messages = Array.from({ length: this.#plan.rooms }, (_, room) => this.message(room + 1, index));
    if (late) for (const { messageId } of messages) this.#late.add(messageId);
    const form = ({ content }: LoadMessage) => ({ content, order: content.index });
    await this.#publisher.publish(messages, this.#plan.ordered === true ? { form } : {});
  }

  /** In the order of their rooms. */
  #published(): Published[] {
    const entries = [...this.#log.entries()];
    if (this.#plan.ordered !== true) return entries;
    const place = ({ key }: Published): number =>
      this.#late.has(key) ? Number.POSITIVE_INFINITY : Number(key.slice(key.lastIndexOf('/') + 1));
    return entries.sort((a, b) => Math.sign(place(a) - place(b)) || 0);
  }

  /** Resolves when the database has settled so many of its messages. */
  async untilSettled(count: number): Promise<void> {
    const enough = async () => (await this.#settled()) >= count;
    await this.#system.eventually(`${count} messages of ${this.#run} are settled`, enough, SETTLED_POLL_MS);
  }

  /** Resolves when each is settled, and every one that the platform took is on its phone. */
  async untilDone(): Promise<void> {
    await this.untilSettled(this.size);
    await this.#system.eventually(`the phones of ${this.channel} have everything`, async () => {
      const { channels, faults } = await this.#system.rig.platform.stats();
      const { accepted = 0, shown = 0 } = channels[this.channel] ?? {};
      return accepted - shown <= (faults.async_failure ?? 0);
    });
  }

  final(): Promise<FinalRow[]> {
    return this.#system.rig.database.finalState(this.channel, this.prefix);
  }

  /** How the attempts ended, counted by their results, as the history tells. */
  async attempts(): Promise<Record<string, number>> {
    const rows = await this.#system.query<{ result: string; count: number }>(
      `SELECT a->>'result' AS result, count(*)::integer AS count
       FROM rooms r JOIN history h ON h.shard = r.shard AND h.room_id = r.id, json_array_elements(h.attempts) a
       WHERE r.channel = $1 AND starts_with(r.room, $2) GROUP BY 1`,
      [this.channel, this.prefix],
    );
    return Object.fromEntries(rows.map(({ result, count }) => [result, count]));
  }

  /** The highest ack level of each settled message. */
  async levels(): Promise<string[]> {
    const rows = await this.#system.query<{ level: string }>(
      `SELECT h.level FROM rooms r JOIN history h ON h.shard = r.shard AND h.room_id = r.id
       WHERE r.channel = $1 AND starts_with(r.room, $2)`,
      [this.channel, this.prefix],
    );
    return rows.map(({ level }) => level);
  }

  /** Reasons of the dead letters of its messages. */
  async deadLetters(): Promise<string[]> {
    const rows = await this.#system.query<{ reason: string }>(
      `SELECT d.reason FROM dead_letters d JOIN rooms r ON r.shard = d.shard AND r.id = d.room_id
       WHERE r.channel = $1 AND starts_with(r.room, $2) ORDER BY 1`,
      [this.channel, this.prefix],
    );
    return rows.map(({ reason }) => reason);
  }

  /**
   * Holds the run against the oracle: nothing lost, in order, one in flight, no copy without a reason, not an empty pass.
   * A copy that the platform cannot explain is allowed only where the history says that its attempt was interrupted by
   * the end of its worker, and no ack that was answered with 200 may have gone astray.
   */
  async expectClean(options: OracleOptions = {}): Promise<Verdict> {
    const { rig } = this.#system;
    const [verdict] = await rig.judge([
      {
        published: this.#published(),
        final: await this.final(),
        inbox: await rig.database.inbox(this.channel),
        fences: await rig.database.fences(),
        options: { ackTimeoutMs: ACK_TIMEOUT_MS, expectedMessages: this.size, required: CHECKS_OF_A_RUN, ...options },
      },
    ]);
    if (verdict === undefined) throw new Error('the oracle said nothing');
    expect({ broken: verdict.broken, violations: verdict.violations }).toEqual({ broken: {}, violations: [] });
    expect(verdict.clean).toBe(true);
    expect(await this.#strayAcks(), 'assumed, although their ack had been answered with 200').toEqual([]);
    return verdict;
  }

  /** Messages that settled as assumed after an unlocking status of theirs had been taken, with how their attempts ended. */
  async #strayAcks(): Promise<string[]> {
    const rows = await this.#system.query<{
      key: string;
      at: number;
      attempts: readonly { readonly result: string }[];
    }>(
      `SELECT h.message_id AS key, h.settled_at::double precision AS at, h.attempts
       FROM rooms r JOIN history h ON h.shard = r.shard AND h.room_id = r.id
       WHERE r.channel = $1 AND starts_with(r.room, $2) AND h.outcome = 'assumed'`,
      [this.channel, this.prefix],
    );
    const ackedAt = await this.#ackedAt();
    return rows.flatMap(({ key, at, attempts }) => {
      const aheadMs = at - (ackedAt.get(key) ?? at);
      const results = attempts.map(({ result }) => result).join(', ');
      return aheadMs > CLOCK_MARGIN_MS ? [`${key}, ${aheadMs.toFixed(0)} ms before it settled (${results})`] : [];
    });
  }

  /** By message: when the first delivered or read that tells of it was answered with 200, on the wall clock. */
  async #ackedAt(): Promise<Map<string, number>> {
    const keys = new Map<number, string>();
    const calls = new Map<string, readonly string[]>();
    const ackedAt = new Map<string, number>();
    let toWall = 0;
    for await (const record of this.#system.rig.platform.groundTruth()) {
      if (record.t === 'start') toWall = record.wall - record.at;
      if (record.t === 'receipt' && record.m !== undefined && record.key !== undefined) keys.set(record.m, record.key);
      if (record.t === 'call' && record.signature === 'right') {
        const told = record.m.filter((_, position) => /[dr]/i.test(record.s[position] ?? ''));
        calls.set(
          `${record.call}/${record.attempt}`,
          told.map((message) => keys.get(message) ?? ''),
        );
      }
      if (record.t !== 'called' || record.status !== 200) continue;
      for (const key of calls.get(`${record.call}/${record.attempt}`) ?? []) {
        if (!ackedAt.has(key)) ackedAt.set(key, record.at + toWall);
      }
    }
    return ackedAt;
  }

  async #settled(): Promise<number> {
    // A database that is away on purpose answers later.
    const rows = await this.final().catch(() => []);
    return rows.filter(({ outcome }) => outcome !== null).length;
  }
}
