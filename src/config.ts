/**
 * The typed configuration: `config/default.json`, then a file of one's own, then the environment; later ones win.
 * Unknown names are refused, all errors are reported at once, and the result is frozen.
 */
import { readFileSync } from 'node:fs';
import { Ajv, type ErrorObject } from 'ajv';
import { ENVIRONMENT_PREFIX, ENVIRONMENT_SETTINGS, environmentName, readVariable } from './config/environment.ts';
import { type ConfigRule, channelRules, rulesOf } from './config/rules.ts';
import { type ChannelConfig, type Config, configNode, configSchema, type SchemaNode } from './config/schema.ts';
import { Secret } from './config/secret.ts';
import { anySecret, type BrokenReference, readSecret, type SecretSource } from './config/secret-reference.ts';
import { RoomlineError } from './errors.ts';

export type { ChannelConfig, Config } from './config/schema.ts';
export { Secret } from './config/secret.ts';
export { allowedSecrets, type SecretSource } from './config/secret-reference.ts';

/** What kind of rule an issue breaks. Part of the API's contract: add, never rename. */
export type IssueCode =
  | BrokenReference['code']
  | 'secret_too_short'
  | 'required'
  | 'unknown_setting'
  | 'wrong_type'
  | 'not_allowed_value'
  | 'out_of_range'
  | 'pattern_mismatch'
  | 'rule_broken'
  | 'source_unreadable'
  | 'unknown_variable';

/** One thing that is wrong. Holds no values, since any value may be a secret in the wrong place. */
export interface ConfigIssue {
  readonly code: IssueCode;
  /** Such as `http.port`. */
  readonly path: string;
  readonly rule: string;
  readonly action: string;
  /** The file or variable that the value came from, or null where nobody gave one. */
  readonly source: string | null;
}

export class ConfigError extends RoomlineError {
  readonly issues: readonly ConfigIssue[];

  constructor(issues: readonly ConfigIssue[]) {
    const lines = issues.map(
      ({ path, rule, action, source }) => `  ${path}${source === null ? '' : ` (from ${source})`} ${rule}: ${action}`,
    );
    super('config_invalid', { detail: `${issues.length} wrong in the configuration\n${lines.join('\n')}` });
    this.issues = issues;
  }
}

export interface ConfigSources {
  /** JSON texts, later ones laid over earlier ones. The name is used in error messages. */
  readonly files: readonly { readonly name: string; readonly text: string }[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Reads the file of a `{ "file": "…" }` reference; throws where it cannot. */
  readonly readSecretFile: (path: string) => string;
}

/** Variables that are no settings: the one that names a configuration file, and those of the command as a client. */
const FILE_VARIABLE = `${ENVIRONMENT_PREFIX}CONFIG`;
const CLIENT_VARIABLES = ['ROOMLINE_URL', 'ROOMLINE_KEY'];
const DEFAULTS_FILE = new URL('../config/default.json', import.meta.url);

const validateSchema = new Ajv({ allErrors: true, strict: false, allowUnionTypes: true }).compile(configSchema);

/** A channel that comes from elsewhere than the files. */
export interface GivenChannel {
  readonly tenant: string;
  readonly name: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly secrets: SecretSource;
}

/** Reads a channel under the defaults and rules of the configuration; all issues at once, their paths from the channel. */
export type ReadChannel = (
  given: GivenChannel,
) => { readonly channel: ChannelConfig } | { readonly issues: readonly ConfigIssue[] };

export interface Configuration {
  readonly config: Config;
  readonly readChannel: ReadChannel;
}

/** @throws ConfigError with everything that is wrong. */
export function parseConfig(sources: ConfigSources): Config {
  return parseConfiguration(sources).config;
}

/** @throws ConfigError with everything that is wrong. */
export function parseConfiguration(sources: ConfigSources): Configuration {
  const draft = new Draft(sources, anySecret(sources.env, sources.readSecretFile));
  for (const { name, text } of sources.files) draft.addFile(name, text);
  draft.addEnvironment();
  const config = draft.finish();
  return { config, readChannel: (given) => draft.readChannel(config, given) };
}

export interface LoadOptions {
  /** Path of a configuration file; `ROOMLINE_CONFIG` where absent. */
  readonly file?: string | undefined;
  /** Values laid over those of the files, by a program that starts Roomline with parts of its own. */
  readonly overrides?: object;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** @throws ConfigError with everything that is wrong, an unreadable file included. */
export function loadConfig(options: LoadOptions = {}): Config {
  return loadConfiguration(options).config;
}

/**
 * The configuration of this process.
 * @throws ConfigError with everything that is wrong, an unreadable file included.
 */
export function loadConfiguration(options: LoadOptions = {}): Configuration {
  const env = options.env ?? process.env;
  const file = options.file ?? env[FILE_VARIABLE];
  const files = [{ name: 'config/default.json', text: readFileSync(DEFAULTS_FILE, 'utf8') }];
  if (file !== undefined) {
    try {
      files.push({ name: file, text: readFileSync(file, 'utf8') });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const rule = `cannot be read (${code})`;
      const action = 'check path and permissions';
      throw new ConfigError([{ code: 'source_unreadable', path: file, rule, action, source: null }]);
    }
  }
  if (options.overrides !== undefined) files.push({ name: 'overrides', text: JSON.stringify(options.overrides) });
  return parseConfiguration({ files, env, readSecretFile: (path) => readFileSync(path, 'utf8') });
}

type Fields = Record<string, unknown>;

/** The configuration while it is put together: the merged value, where each part came from, and what is wrong. */
class Draft {
  readonly #sources: ConfigSources;
  readonly #secrets: SecretSource;
  #value: Fields = {};
  /** The value with its secrets. */
  #resolved: Fields = {};
  readonly #origin = new Map<string, string>();
  readonly #issues: ConfigIssue[] = [];
  readonly #referencedVariables = new Set<string>();

  constructor(sources: ConfigSources, secrets: SecretSource) {
    this.#sources = sources;
    this.#secrets = secrets;
  }

  addFile(name: string, text: string): void {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      this.#refuse('source_unreadable', name, 'must be valid JSON', 'correct the file', null);
      return;
    }
    if (isFields(value)) this.#merge(this.#value, value, [], name);
    else this.#refuse('wrong_type', name, 'must be a JSON object', 'write the settings as { "section": { … } }', null);
  }

  addEnvironment(): void {
    for (const [name, { path, node }] of ENVIRONMENT_SETTINGS) {
      const text = this.#sources.env[name];
      if (text === undefined) continue;
      const read = readVariable(node, text);
      if ('rule' in read) {
        this.#refuse('wrong_type', path.join('.'), read.rule, `correct the variable ${name}`, name);
        continue;
      }
      const layer = path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), read.value);
      this.#merge(this.#value, layer as Fields, [], name);
    }
  }

  finish(): Config {
    this.#resolve();
    this.#refuseUnknownVariables();
    this.#checkSchema();
    const config = configOf(this.#resolved);
    this.#applyRules(rulesOf(config));
    if (this.#issues.length > 0) throw new ConfigError(this.#issues);
    return deepFreeze(config);
  }

  /** One channel more, after `finish` gave `config`. */
  readChannel(config: Config, { tenant, name, settings, secrets }: GivenChannel): ReturnType<ReadChannel> {
    const draft = new Draft(this.#sources, secrets);
    draft.#value = { ...this.#resolved, channels: {} };
    draft.#merge(draft.#value, { channels: { [name]: { ...settings, tenant } } }, [], 'the settings');
    draft.#resolve();
    draft.#checkSchema();
    const [channel] = configOf(draft.#resolved).channels as [ChannelConfig];
    draft.#applyRules(channelRules(channel, { ...config, channels: [...config.channels, channel] }));
    if (draft.#issues.length === 0) return { channel: deepFreeze(channel) };
    const prefix = `channels.${name}.`;
    const fromChannel = (path: string): string => (path.startsWith(prefix) ? path.slice(prefix.length) : path);
    return { issues: draft.#issues.map((issue) => ({ ...issue, path: fromChannel(issue.path) })) };
  }

  #resolve(): void {
    const { channelDefaults, platformDefaults, channels, ...sections } = this.#value;
    const named = isFields(channels) ? Object.entries(channels) : [];
    const whole: Fields = {
      ...sections,
      channelDefaults: channelDefaults ?? {},
      platformDefaults: platformDefaults ?? {},
      channels: isFields(channels)
        ? Object.fromEntries(named.map(([name, own]) => [name, this.#withDefaults(name, own)]))
        : (channels ?? {}),
    };
    this.#resolved = this.#resolveSecrets(configNode, whole, []) as Fields;
  }

  #checkSchema(): void {
    if (validateSchema(this.#resolved)) return;
    for (const error of validateSchema.errors ?? []) this.#refuseSchemaError(error);
  }

  #withDefaults(name: string, own: unknown): unknown {
    const { channelDefaults, platformDefaults } = this.#value;
    if (!isFields(own) || !isFields(channelDefaults)) return own;
    const channel: Fields = {};
    this.#merge(channel, channelDefaults, ['channels', name], 'channelDefaults');
    const { platform } = own;
    const ofPlatform =
      isFields(platformDefaults) && typeof platform === 'string' && Object.hasOwn(platformDefaults, platform)
        ? platformDefaults[platform]
        : undefined;
    if (isFields(ofPlatform)) this.#merge(channel, ofPlatform, ['channels', name], 'platformDefaults');
    // Copying the channel's own settings keeps the sources that their merge has recorded.
    this.#merge(channel, own, ['channels', name], null);
    return channel;
  }

  /** Lays `layer` over `target`: sections are merged, everything else is replaced. */
  #merge(target: Fields, layer: Fields, path: readonly string[], source: string | null): void {
    for (const [key, value] of Object.entries(layer)) {
      const here = [...path, key];
      const existing = Object.hasOwn(target, key) ? target[key] : undefined;
      if (isFields(value)) {
        const inner = isFields(existing) ? existing : {};
        // Not by assignment: a key named __proto__ must stay an ordinary key and be refused as unknown.
        Object.defineProperty(target, key, { value: inner, enumerable: true, configurable: true, writable: true });
        this.#merge(inner, value, here, source);
      } else {
        Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
      }
      const dotted = here.join('.');
      // A default counts as the source only where nobody gave a value.
      if (source !== null && (!isDefaults(source) || isDefaults(this.#origin.get(dotted) ?? source))) {
        this.#origin.set(dotted, source);
      }
    }
  }

  #resolveSecrets(node: SchemaNode, value: unknown, path: readonly string[]): unknown {
    if (node.secret === true) return this.#resolveSecret(node, value, path.join('.'));
    if (Array.isArray(value) && node.items !== undefined) {
      const { items } = node;
      return value.map((each, index) => this.#resolveSecrets(items, each, [...path, String(index)]));
    }
    if (!isFields(value)) return value;
    const [named] = Object.values(node.patternProperties ?? {});
    const entries = Object.entries(value).map(([key, each]) => {
      const child = Object.hasOwn(node.properties ?? {}, key) ? node.properties?.[key] : named;
      return [key, child === undefined ? each : this.#resolveSecrets(child, each, [...path, key])] as const;
    });
    return Object.fromEntries(entries);
  }

  #resolveSecret(node: SchemaNode, value: unknown, path: string): Secret {
    if (value instanceof Secret) return value;
    if (isFields(value) && typeof value.env === 'string') this.#referencedVariables.add(value.env);
    const read = readSecret(value, this.#secrets);
    if ('code' in read) {
      this.#refuse(read.code, path, read.rule, read.action);
      return new Secret('');
    }
    const least = node.secretMinLength ?? 1;
    if (read.text.length < least) {
      const rule = `must have at least ${least} characters`;
      this.#refuse('secret_too_short', path, rule, 'use a longer, random secret');
    }
    return new Secret(read.text);
  }

  #refuseUnknownVariables(): void {
    for (const name of Object.keys(this.#sources.env)) {
      if (!name.startsWith(ENVIRONMENT_PREFIX) || name === FILE_VARIABLE || CLIENT_VARIABLES.includes(name)) continue;
      if (ENVIRONMENT_SETTINGS.has(name) || this.#referencedVariables.has(name)) continue;
      const action = 'remove or correct it; docs/configuration.md lists all';
      this.#refuse('unknown_variable', name, 'is not a known variable', action, null);
    }
  }

  #refuseSchemaError(error: ErrorObject): void {
    const parts = error.instancePath.split('/').slice(1).map(unescapePointer);
    const params = error.params as { missingProperty?: string; additionalProperty?: string };
    if (error.keyword === 'required') {
      const missing = [...parts, params.missingProperty ?? ''];
      const variable = environmentName(missing);
      const action = ENVIRONMENT_SETTINGS.has(variable) ? `set it in a file or by ${variable}` : 'set it';
      this.#refuse('required', missing.join('.'), 'is required', action);
      return;
    }
    if (error.keyword === 'additionalProperties') {
      const path = [...parts, params.additionalProperty ?? ''].join('.');
      this.#refuse('unknown_setting', path, 'is not a known setting or an allowed name', 'remove or correct it');
      return;
    }
    const path = parts.join('.');
    // A wrong default is reported where it stands, not once more for each channel.
    if (parts[0] === 'channels' && isDefaults(this.#origin.get(path))) return;
    this.#refuse(CODES[error.keyword] ?? 'out_of_range', path, ruleOf(error), 'correct the value');
  }

  #applyRules(rules: readonly ConfigRule[]): void {
    const broken = this.#issues.map((issue) => issue.path);
    for (const { path, inputs, check } of rules) {
      if (inputs.some((input) => broken.some((each) => covers(each, input) || covers(input, each)))) continue;
      const verdict = check();
      if (verdict !== null) this.#refuse('rule_broken', path, verdict.rule, verdict.action);
    }
  }

  #refuse(code: IssueCode, path: string, rule: string, action: string, source?: string | null): void {
    this.#issues.push({ code, path, rule, action, source: source === undefined ? this.#originOf(path) : source });
  }

  /** The source of the setting or of the nearest thing that holds it. */
  #originOf(path: string): string | null {
    const parts = path.split('.');
    for (let length = parts.length; length > 0; length--) {
      const source = this.#origin.get(parts.slice(0, length).join('.'));
      if (source !== undefined) return source;
    }
    return null;
  }
}

/** Reads as the typed value; sections that are missing have been refused and their rules are not tried. */
function configOf(resolved: Fields): Config {
  const { channels, channelDefaults: _applied, platformDefaults: _appliedToo, ...sections } = resolved;
  const list: unknown[] = isFields(channels)
    ? Object.entries(channels).map(([name, channel]) => ({ ...(channel as ChannelConfig), name }))
    : [];
  return { ...sections, channels: list } as unknown as Config;
}

/** By the keyword of the schema; all others bound a number, a length or a count. */
const CODES: Readonly<Record<string, IssueCode>> = {
  type: 'wrong_type',
  enum: 'not_allowed_value',
  pattern: 'pattern_mismatch',
};

function ruleOf(error: ErrorObject): string {
  if (error.keyword === 'enum') {
    return `must be one of ${(error.params as { allowedValues: string[] }).allowedValues.join(', ')}`;
  }
  return error.message ?? `breaks the rule "${error.keyword}"`;
}

function isDefaults(source: string | undefined): boolean {
  return source === 'channelDefaults' || source === 'platformDefaults';
}

function covers(outer: string, inner: string): boolean {
  return inner === outer || inner.startsWith(`${outer}.`);
}

function unescapePointer(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Secret);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const each of Object.values(value)) deepFreeze(each);
  }
  return value;
}
