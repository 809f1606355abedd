/**
 * The channels of this process: those of its files, and those that operators configure by the API. What operators say is
 * in the store, and every process follows it; a file's channel goes before a stored one of its name. What a process
 * cannot use, such as a secret that is not there, leaves it with what it had, and is tried again.
 */
import { isDeepStrictEqual } from 'node:util';
import PQueue from 'p-queue';
import {
  type ChannelConfig,
  type Config,
  type ConfigIssue,
  type ReadChannel,
  Secret,
  type SecretSource,
} from './config.ts';
import type { Engine } from './engine/engine.ts';
import type { Instruments } from './engine/instruments.ts';
import type { AuditNote, AuditPage, OperatorStores, StoredChannelSettings } from './engine/operator-ports.ts';
import { type ChannelSettings, channelName } from './engine/policy.ts';
import type { ChannelKey, Clock, PlatformChannel, Signals } from './engine/ports.ts';
import { defineService, type Loop, runLoop, type Service } from './engine/service.ts';
import { type Fault, RoomlineError } from './errors.ts';
import type {
  ChannelAdmin,
  ChannelPreview,
  ManagedChannel,
  Operator,
  Precondition,
  SettingChange,
} from './http/channel-admin.ts';

export interface ChannelRegistryOptions {
  readonly config: Config;
  readonly readChannel: ReadChannel;
  /** What settings that come by the API may name as secrets. */
  readonly secrets: SecretSource;
  readonly operators: Pick<OperatorStores, 'settings' | 'audit'>;
  /** @throws RoomlineError `config_invalid` where the adapter cannot work with these settings */
  readonly createClient: (config: ChannelConfig, key: ChannelKey) => PlatformChannel;
  readonly signals: Signals | null;
  readonly clock: Pick<Clock, 'after'>;
  readonly instruments: Instruments;
  readonly onFailure: (error: unknown) => void;
}

interface Active {
  readonly config: ChannelConfig;
  readonly client: PlatformChannel;
}

interface Entry {
  readonly key: ChannelKey;
  /** Null for a channel of a file. */
  readonly stored: StoredChannelSettings | null;
  /** What this process works with; of former settings where it cannot use what is stored. */
  readonly active: Active | null;
  /** Why it cannot. */
  readonly faults: readonly Fault[];
}

/** Longer than any request to a platform takes: uploads may take ten minutes. */
const RETIRE_AFTER_MS = 660_000;
/** Another process may change the channel between reading and writing, so many times at most. */
const MAX_RACES = 10;

export class ChannelRegistry implements ChannelAdmin {
  readonly #to: ChannelRegistryOptions;
  readonly #entries = new Map<string, Entry>();
  /** Clients that were replaced: whoever has one in hand may use it to its end. */
  readonly #retired = new Map<PlatformChannel, () => void>();
  /** Reading the store and taking what it says is one step, and so is each change. */
  readonly #turns = new PQueue({ concurrency: 1 });
  readonly #shadowed = new Set<string>();
  #engine: Pick<Engine, 'channels' | 'configureChannel' | 'removeChannel'> | null = null;
  /** The last change that this process has taken. */
  #revision = -1;

  /** @throws RoomlineError `config_invalid` where an adapter cannot work with what a file says */
  constructor(options: ChannelRegistryOptions) {
    this.#to = options;
    for (const config of options.config.channels) {
      const key = { tenant: config.tenant, channel: config.name };
      const active = { config, client: options.createClient(config, key) };
      this.#entries.set(channelName(key), { key, stored: null, active, faults: [] });
    }
  }

  /** The sender, ready to use; null where no such channel works here. */
  platform(key: ChannelKey): PlatformChannel | null {
    return this.#entries.get(channelName(key))?.active?.client ?? null;
  }

  /** What the engine starts with. */
  settings(): ChannelSettings[] {
    return [...this.#entries.values()].flatMap(({ active }) => (active === null ? [] : [settingsOf(active.config)]));
  }

  /** Reads the store for the first time, before there is an engine. */
  load(): Promise<void> {
    return this.#inTurn(() => this.#follow());
  }

  /** From now on the engine is told of every change. */
  connect(engine: Pick<Engine, 'channels' | 'configureChannel' | 'removeChannel'>): void {
    this.#engine = engine;
  }

  /** Follows the store, then says what there is of a channel: rejects while the store is away. */
  seek(key: ChannelKey): Promise<'usable' | 'unusable' | 'absent'> {
    return this.#inTurn(async () => {
      await this.#follow();
      const entry = this.#entries.get(channelName(key));
      return entry === undefined ? 'absent' : entry.active === null ? 'unusable' : 'usable';
    });
  }

  /** Closes every client when it stops. */
  get clients(): Service {
    return defineService('platforms', (scope) => {
      scope.onStop(async () => {
        const active = [...this.#entries.values()].flatMap((entry) =>
          entry.active === null ? [] : [entry.active.client],
        );
        const retired = [...this.#retired];
        this.#retired.clear();
        for (const [, cancel] of retired) cancel();
        await Promise.all([...active, ...retired.map(([client]) => client)].map((client) => client.close()));
      });
    });
  }

  /** Follows the store: every so often, and whenever another process signals a change. */
  get following(): Service {
    return defineService('channel settings', (scope) => {
      const { clock, signals, onFailure, config } = this.#to;
      const timers = { schedule: (delayMs: number, callback: () => void) => clock.after(delayMs, callback) };
      const loop: Loop = runLoop(
        async () => {
          await this.#tryToFollow();
          return config.channelSettings.pollEveryMs;
        },
        { timers, onFailure },
      );
      scope.onStop(() => loop.stop());
      scope.onStop(signals?.listen(({ kind }) => void (kind === 'channels' && loop.wake())) ?? (() => undefined));
    });
  }

  // ---------------------------------------------------------------------------------------------------- for operators

  async list(): Promise<readonly ManagedChannel[]> {
    await this.#tryToFollow();
    const names = [...this.#entries.keys()].sort();
    return names.map((name) => this.#show(this.#entries.get(name) as Entry));
  }

  async find(key: ChannelKey): Promise<ManagedChannel | null> {
    await this.#tryToFollow();
    const entry = this.#entries.get(channelName(key));
    return entry === undefined ? null : this.#show(entry);
  }

  preview(
    key: ChannelKey,
    settings: StoredChannelSettings['settings'],
    only: Precondition,
    by: Operator,
  ): Promise<ChannelPreview> {
    return this.#inTurn(async () => {
      await this.#follow();
      const entry = this.#changeable(key);
      checkPrecondition(only, entry);
      const own = withoutTenant(settings);
      this.#demandOwnSecrets(key, settings, by);
      const { config, client } = this.#accept(key, settings, entry);
      await client.close();
      const effective = presentable(config, own);
      const before = entry?.active == null ? {} : presentable(entry.active.config, entry.stored?.settings ?? {});
      const same = isDeepStrictEqual(entry?.stored?.settings, own);
      return {
        effect: entry === null ? 'create' : same ? 'none' : 'change',
        revision: entry?.stored?.revision ?? null,
        effective,
        changes: changesBetween(before, effective),
        warnings: this.#warningsOf(config, key),
      };
    });
  }

  put(
    key: ChannelKey,
    settings: StoredChannelSettings['settings'],
    only: Precondition,
    by: Operator,
  ): Promise<{ readonly effect: ChannelPreview['effect']; readonly channel: ManagedChannel }> {
    return this.#inTurn(async () => {
      const own = withoutTenant(settings);
      for (let races = 0; races < MAX_RACES; races++) {
        await this.#follow();
        const entry = this.#changeable(key);
        const stored = entry?.stored ?? null;
        // Who repeats a request whose answer was lost wants no error.
        const repeated = stored !== null && isDeepStrictEqual(stored.settings, own) && entry?.faults.length === 0;
        if (repeated && only.kind !== 'absent') return { effect: 'none', channel: this.#show(entry) };
        checkPrecondition(only, entry);
        this.#demandOwnSecrets(key, settings, by);
        const active = this.#accept(key, settings, entry);
        const note = noteOf('channel.put', key, by, { before: stored?.settings ?? null, after: own });
        const written = await this.#to.operators.settings
          .put(key, own, stored?.revision ?? null, note)
          .catch(async (error: unknown) => {
            await active.client.close();
            throw error;
          });
        if (written === null) {
          await active.client.close();
          continue;
        }
        const { revision, at } = written;
        const now = { key, settings: own, revision, updatedAt: at, updatedBy: by.name };
        const taken = this.#activate({ key, stored: now, active, faults: [] });
        this.#to.signals?.publish({ kind: 'channels' });
        return { effect: entry === null ? 'create' : 'change', channel: this.#show(taken) };
      }
      throw new RoomlineError('overloaded', { detail: 'Others keep changing this channel' });
    });
  }

  remove(
    key: ChannelKey,
    only: Precondition,
    options: { readonly force: boolean },
    by: Operator,
  ): Promise<{ readonly waitingRooms: number }> {
    return this.#inTurn(async () => {
      const { settings } = this.#to.operators;
      for (let races = 0; races < MAX_RACES; races++) {
        await this.#follow();
        const stored = this.#changeable(key)?.stored ?? null;
        if (stored === null) throw new RoomlineError('channel_not_found');
        checkPrecondition(only, { stored });
        const waitingRooms = await settings.waitingRooms(key);
        if (waitingRooms > 0 && !options.force) {
          const detail = `${waitingRooms} rooms of it have messages that have not settled`;
          throw new RoomlineError('channel_in_use', { detail });
        }
        const detail = { before: stored.settings, after: null, waitingRooms, force: options.force };
        const revision = await settings.remove(key, stored.revision, noteOf('channel.delete', key, by, detail));
        if (revision === null) continue;
        await this.#drop(key);
        this.#to.signals?.publish({ kind: 'channels' });
        return { waitingRooms };
      }
      throw new RoomlineError('overloaded', { detail: 'Others keep changing this channel' });
    });
  }

  audit(page: AuditPage): ReturnType<OperatorStores['audit']['list']> {
    return this.#to.operators.audit.list(page);
  }

  /** The channel if the API may change it; null where there is none. */
  #changeable(key: ChannelKey): Entry | null {
    const entry = this.#entries.get(channelName(key)) ?? null;
    if (entry?.stored === null) throw new RoomlineError('channel_in_file');
    return entry;
  }

  /**
   * A key that is bound to tenants names what channels of the tenant have already, or it could send others' secrets to
   * an address of its own, and learn which there are.
   * @throws RoomlineError `channel_settings_invalid`
   */
  #demandOwnSecrets({ tenant }: ChannelKey, settings: StoredChannelSettings['settings'], by: Operator): void {
    if (!by.bound) return;
    const own = [...this.#entries.values()].filter((entry) => entry.key.tenant === tenant);
    const known = new Set(own.flatMap(({ stored }) => referencesIn(stored?.settings ?? {}).map(({ name }) => name)));
    const faults = referencesIn(settings)
      .filter(({ name }) => !known.has(name))
      .map(
        ({ path }): Fault => ({
          path,
          code: 'secret_not_allowed',
          rule: 'must be one that a channel of the tenant has already, where the key is bound to tenants',
          action: 'have it set by a key that is not bound to tenants',
        }),
      );
    if (faults.length === 0) return;
    throw new RoomlineError('channel_settings_invalid', { detail: `${faults.length} wrong in the settings`, faults });
  }

  /** @throws RoomlineError `channel_settings_invalid` with every fault */
  #accept(key: ChannelKey, settings: StoredChannelSettings['settings'], entry: Entry | null): Active {
    const faults: Fault[] = [];
    if (settings.tenant !== undefined && settings.tenant !== key.tenant) {
      const rule = `must be ${key.tenant}, as in the address, or absent`;
      faults.push({ path: 'tenant', code: 'path_mismatch', rule, action: 'remove it' });
    }
    const platform = entry?.stored?.settings.platform;
    if (platform !== undefined && typeof settings.platform === 'string' && settings.platform !== platform) {
      const rule = `must stay ${String(platform)}: what waits was accepted for it`;
      faults.push({
        path: 'platform',
        code: 'not_changeable',
        rule,
        action: 'delete the channel, or make another one',
      });
    }
    const read = this.#read(key, withoutTenant(settings));
    if ('faults' in read) faults.push(...read.faults);
    if (faults.length === 0 && 'active' in read) return read.active;
    if ('active' in read) void read.active.client.close().catch(this.#to.onFailure);
    const detail = `${faults.length} wrong in the settings`;
    throw new RoomlineError('channel_settings_invalid', { detail, faults });
  }

  #read(
    key: ChannelKey,
    settings: StoredChannelSettings['settings'],
  ): { readonly active: Active } | { readonly faults: readonly Fault[] } {
    const { readChannel, secrets, createClient } = this.#to;
    const read = readChannel({ tenant: key.tenant, name: key.channel, settings, secrets });
    if ('issues' in read) return { faults: read.issues.map(faultOf) };
    try {
      return { active: { config: read.channel, client: createClient(read.channel, key) } };
    } catch (error) {
      const { field = 'accessToken', rule = 'what the adapter of the platform takes' } =
        error instanceof RoomlineError ? error : {};
      return { faults: [{ path: field, code: 'rule_broken', rule: `must be: ${rule}`, action: 'correct the value' }] };
    }
  }

  #show(entry: Entry): ManagedChannel {
    const { key, stored, active, faults } = entry;
    const channel = this.#engine?.channels.get(key) ?? null;
    const condition = channel?.condition;
    const view = channel?.view ?? { state: 'stopped', reason: 'channel_not_configured', until: null };
    return {
      ...key,
      source: stored === null ? 'file' : 'api',
      platform: active?.config.platform ?? null,
      account: active?.config.account ?? null,
      ...view,
      ackTimeoutMs: channel?.view.ackTimeoutMs ?? null,
      since: condition !== undefined && 'since' in condition ? condition.since : null,
      waitingRooms: channel?.queued ?? 0,
      revision: stored?.revision ?? null,
      updatedAt: stored?.updatedAt ?? null,
      updatedBy: stored?.updatedBy ?? null,
      settings: stored?.settings ?? null,
      // Of former settings the references are not known any more.
      effective:
        active === null ? null : presentable(active.config, faults.length === 0 ? (stored?.settings ?? {}) : {}),
      faults: [...faults],
      warnings: active === null ? [] : this.#warningsOf(active.config, key),
    };
  }

  #warningsOf({ account, accountLimit }: ChannelConfig, key: ChannelKey): Fault[] {
    const others = [...this.#entries.values()].filter(
      (entry) => entry.active?.config.account === account && entry.key.tenant === key.tenant,
    );
    if (others.every((entry) => isDeepStrictEqual(entry.active?.config.accountLimit, accountLimit))) return [];
    const rule = `differs among the channels of the account ${account}: the strictest counts`;
    return [{ path: 'accountLimit', code: 'account_limit_differs', rule, action: 'give all of them the same' }];
  }

  // -------------------------------------------------------------------------------------------------------- following

  /** While the store is away, what is known goes on. */
  async #tryToFollow(): Promise<void> {
    try {
      await this.#inTurn(() => this.#follow());
    } catch {
      this.#to.instruments.telemetry.emit('dependency.lost', { dependency: 'postgres' });
    }
  }

  async #follow(): Promise<void> {
    const { settings } = this.#to.operators;
    if ((await settings.revision()) !== this.#revision) {
      const { revision, channels } = await settings.load();
      const there = new Set(channels.map(({ key }) => channelName(key)));
      for (const { key, stored } of [...this.#entries.values()]) {
        if (stored !== null && !there.has(channelName(key))) await this.#drop(key);
      }
      for (const stored of channels) this.#take(stored);
      this.#revision = revision;
    }
    for (const { stored, faults } of this.#entries.values())
      if (stored !== null && faults.length > 0) this.#use(stored);
  }

  #take(stored: StoredChannelSettings): void {
    const name = channelName(stored.key);
    const entry = this.#entries.get(name);
    if (entry?.stored === null) {
      if (!this.#shadowed.has(name)) this.#to.instruments.log.event('channel.shadowed', { channel: name });
      this.#shadowed.add(name);
    } else if (entry?.stored.revision !== stored.revision) this.#use(stored);
  }

  #use(stored: StoredChannelSettings): void {
    const { key } = stored;
    const name = channelName(key);
    const before = this.#entries.get(name);
    const read = this.#read(key, stored.settings);
    if ('active' in read) {
      this.#activate({ key, stored, active: read.active, faults: [] });
      return;
    }
    const told = before?.stored?.revision === stored.revision && isDeepStrictEqual(before.faults, read.faults);
    this.#entries.set(name, { key, stored, active: before?.active ?? null, faults: read.faults });
    if (told) return;
    for (const { code, path, rule } of read.faults) {
      this.#to.instruments.log.event('channel.settings_refused', { channel: name, code, field: path, rule });
    }
  }

  #activate(entry: Entry & { readonly active: Active }): Entry {
    const name = channelName(entry.key);
    this.#retire(this.#entries.get(name)?.active ?? null);
    this.#entries.set(name, entry);
    this.#engine?.configureChannel(settingsOf(entry.active.config));
    this.#to.instruments.log.event('channel.configured', { channel: name });
    return entry;
  }

  async #drop(key: ChannelKey): Promise<void> {
    const name = channelName(key);
    this.#retire(this.#entries.get(name)?.active ?? null);
    this.#entries.delete(name);
    await this.#engine?.removeChannel(key);
    this.#to.instruments.log.event('channel.removed', { channel: name });
  }

  #retire(active: Active | null): void {
    if (active === null) return;
    const { client } = active;
    const cancel = this.#to.clock.after(RETIRE_AFTER_MS, () => {
      this.#retired.delete(client);
      client.close().catch(this.#to.onFailure);
    });
    this.#retired.set(client, cancel);
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    return (await this.#turns.add(work)) as T;
  }
}

function settingsOf(channel: ChannelConfig): ChannelSettings {
  return {
    key: { tenant: channel.tenant, channel: channel.name },
    account: channel.account,
    platform: channel.platform,
    policy: channel,
    sendTimeoutMs: channel.sendTimeoutMs,
    maxConcurrentSends: channel.maxConcurrentSends,
    channelLimit: channel.channelLimit,
    accountLimit: channel.accountLimit,
    echoesReference: channel.echoesReference,
    ...(channel.ackTimeout.mode === 'adaptive' ? { adaptiveAckTimeout: channel.ackTimeout } : {}),
    ackOutage: channel.ackOutage,
    probe: channel.probe,
    orderGap: { timeoutMs: channel.orderGapTimeoutMs, policy: channel.orderGapPolicy },
  };
}

function checkPrecondition(only: Precondition, entry: Pick<Entry, 'stored'> | null): void {
  const revision = entry?.stored?.revision ?? null;
  const met =
    only.kind === 'none' ||
    (only.kind === 'absent' && revision === null) ||
    (only.kind === 'exists' && revision !== null) ||
    (only.kind === 'revision' && revision === only.revision);
  if (met) return;
  const detail = revision === null ? 'There is no such channel' : `Its revision is ${revision}`;
  throw new RoomlineError('revision_mismatch', { detail });
}

/** Of a secret: `{ env: NAME }` or `{ file: PATH }`, wherever in the settings. */
function referencesIn(value: unknown, path = ''): { readonly path: string; readonly name: string }[] {
  if (typeof value !== 'object' || value === null) return [];
  const { env, file } = value as { readonly env?: unknown; readonly file?: unknown };
  if (typeof env === 'string' || typeof file === 'string') return [{ path, name: JSON.stringify([env, file]) }];
  return Object.entries(value).flatMap(([name, inner]) => referencesIn(inner, path === '' ? name : `${path}.${name}`));
}

function noteOf(action: string, key: ChannelKey, by: Operator, detail: AuditNote['detail']): AuditNote {
  return { actor: by.name, action, subject: `channel:${channelName(key)}`, detail, requestId: by.requestId };
}

function faultOf({ path, code, rule, action }: ConfigIssue): Fault {
  return { path, code, rule, action };
}

/** The address says it. */
function withoutTenant(settings: StoredChannelSettings['settings']): StoredChannelSettings['settings'] {
  const { tenant: _said, ...own } = settings;
  return own;
}

type Plain = Readonly<Record<string, unknown>>;

/** Settings as they are in force, with the references that stand for secrets, or a mask. */
function presentable({ name: _inAddress, ...config }: ChannelConfig, own: Plain): Plain {
  return shown(config, own) as Plain;
}

function shown(value: unknown, own: unknown): unknown {
  if (value instanceof Secret) return own ?? value.toJSON();
  if (typeof value !== 'object' || value === null) return value;
  const inner = (own ?? {}) as Record<string, unknown>;
  if (Array.isArray(value)) return value.map((each, index) => shown(each, inner[index]));
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, shown(each, inner[key])]));
}

/** Setting by setting; lists and references as a whole. */
function changesBetween(before: Plain, after: Plain, path: readonly string[] = []): SettingChange[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((key) => {
    const [one, other] = [before[key], after[key]];
    const here = [...path, key];
    if (isDeepStrictEqual(one, other)) return [];
    if (isSection(one) && isSection(other)) return changesBetween(one, other, here);
    return [{ path: here.join('.'), before: one ?? null, after: other ?? null }];
  });
}

function isSection(value: unknown): value is Plain {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return !('env' in value) && !('file' in value);
}
