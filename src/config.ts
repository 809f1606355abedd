/**
 * The typed configuration: `config/default.json`, then a file of one's own, then the environment; later ones win.
 * Unknown names are refused, all errors are reported at once, and the result is frozen.
 */
import { readFileSync } from 'node:fs';
import { Ajv, type ErrorObject } from 'ajv';
import { ENVIRONMENT_PREFIX, ENVIRONMENT_SETTINGS, environmentName, readVariable } from './config/environment.ts';
import { rulesOf } from './config/rules.ts';
import { type ChannelConfig, type Config, configNode, configSchema, type SchemaNode } from './config/schema.ts';
import { Secret } from './config/secret.ts';
import { RoomlineError } from './errors.ts';

export type { ChannelConfig, Config } from './config/schema.ts';
export { Secret } from './config/secret.ts';

/** One thing that is wrong. Holds no values, since any value may be a secret in the wrong place. */
export interface ConfigIssue {
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

/** @throws ConfigError with everything that is wrong. */
export function parseConfig(sources: ConfigSources): Config {
  const draft = new Draft(sources);
  for (const { name, text } of sources.files) draft.addFile(name, text);
  draft.addEnvironment();
  return draft.finish();
}

export interface LoadOptions {
  /** Path of a configuration file; `ROOMLINE_CONFIG` where absent. */
  readonly file?: string | undefined;
  /** Values laid over those of the files, by a program that starts Roomline with parts of its own. */
  readonly overrides?: object;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * The configuration of this process.
 * @throws ConfigError with everything that is wrong, an unreadable file included.
 */
export function loadConfig(options: LoadOptions = {}): Config {
  const env = options.env ?? process.env;
  const file = options.file ?? env[FILE_VARIABLE];
  const files = [{ name: 'config/default.json', text: readFileSync(DEFAULTS_FILE, 'utf8') }];
  if (file !== undefined) {
    try {
      files.push({ name: file, text: readFileSync(file, 'utf8') });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new ConfigError([
        { path: file, rule: `cannot be read (${code})`, action: 'check path and permissions', source: null },
      ]);
    }
  }
  if (options.overrides !== undefined) files.push({ name: 'overrides', text: JSON.stringify(options.overrides) });
  return parseConfig({ files, env, readSecretFile: (path) => readFileSync(path, 'utf8') });
}

type Fields = Record<string, unknown>;

/** The configuration while it is put together: the merged value, where each part came from, and what is wrong. */
class Draft {
  readonly #sources: ConfigSources;
  readonly #value: Fields = {};
  readonly #origin = new Map<string, string>();
  readonly #issues: ConfigIssue[] = [];
  readonly #referencedVariables = new Set<string>();

  constructor(sources: ConfigSources) {
    this.#sources = sources;
  }

  addFile(name: string, text: string): void {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      this.#refuse(name, 'must be valid JSON', 'correct the file', null);
      return;
    }
    if (isFields(value)) this.#merge(this.#value, value, [], name);
    else this.#refuse(name, 'must be a JSON object', 'write the settings as { "section": { … } }', null);
  }

  addEnvironment(): void {
    for (const [name, { path, node }] of ENVIRONMENT_SETTINGS) {
      const text = this.#sources.env[name];
      if (text === undefined) continue;
      const read = readVariable(node, text);
      if ('rule' in read) {
        this.#refuse(path.join('.'), read.rule, `correct the variable ${name}`, name);
        continue;
      }
      const layer = path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), read.value);
      this.#merge(this.#value, layer as Fields, [], name);
    }
  }

  finish(): Config {
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
    const resolved = this.#resolveSecrets(configNode, whole, []) as Fields;
    this.#refuseUnknownVariables();
    if (!validateSchema(resolved)) for (const error of validateSchema.errors ?? []) this.#refuseSchemaError(error);
    const config = configOf(resolved);
    this.#applyRules(config);
    if (this.#issues.length > 0) throw new ConfigError(this.#issues);
    return deepFreeze(config);
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
      if (source !== null && !(source === 'channelDefaults' && this.#origin.has(dotted))) {
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
    const text = this.#secretText(value, path);
    const least = node.secretMinLength ?? 1;
    if (text !== null && text.length < least) {
      this.#refuse(path, `must have at least ${least} characters`, 'use a longer, random secret');
    }
    return new Secret(text ?? '');
  }

  #secretText(value: unknown, path: string): string | null {
    if (typeof value === 'string') return value;
    const [entry, ...more] = isFields(value) ? Object.entries(value) : [];
    if (entry === undefined || more.length > 0 || typeof entry[1] !== 'string') {
      this.#refuse(path, 'must be a text, { "env": "NAME" } or { "file": "/path" }', 'write it in one of these forms');
      return null;
    }
    const [kind, where] = entry;
    if (kind === 'env') {
      this.#referencedVariables.add(where);
      const text = this.#sources.env[where];
      if (text !== undefined && text !== '') return text;
      this.#refuse(path, `refers to the variable ${where}, which is not set`, 'set the variable');
      return null;
    }
    if (kind === 'file') {
      try {
        return this.#sources.readSecretFile(where).replace(/\r?\n$/, '');
      } catch {
        this.#refuse(path, `refers to the file ${where}, which cannot be read`, 'check path and permissions');
        return null;
      }
    }
    this.#refuse(path, `must not have the member "${kind}"`, 'use "env" or "file"');
    return null;
  }

  #refuseUnknownVariables(): void {
    for (const name of Object.keys(this.#sources.env)) {
      if (!name.startsWith(ENVIRONMENT_PREFIX) || name === FILE_VARIABLE || CLIENT_VARIABLES.includes(name)) continue;
      if (ENVIRONMENT_SETTINGS.has(name) || this.#referencedVariables.has(name)) continue;
      this.#refuse(name, 'is not a known variable', 'remove or correct it; docs/configuration.md lists all', null);
    }
  }

  #refuseSchemaError(error: ErrorObject): void {
    const parts = error.instancePath.split('/').slice(1).map(unescapePointer);
    const params = error.params as { missingProperty?: string; additionalProperty?: string };
    if (error.keyword === 'required') {
      const missing = [...parts, params.missingProperty ?? ''];
      const variable = environmentName(missing);
      const action = ENVIRONMENT_SETTINGS.has(variable) ? `set it in a file or by ${variable}` : 'set it';
      this.#refuse(missing.join('.'), 'is required', action);
      return;
    }
    if (error.keyword === 'additionalProperties') {
      const path = [...parts, params.additionalProperty ?? ''].join('.');
      this.#refuse(path, 'is not a known setting or an allowed name', 'remove or correct it');
      return;
    }
    const path = parts.join('.');
    // A wrong default is reported where it stands, not once more for each channel.
    const origin = this.#origin.get(path);
    if (parts[0] === 'channels' && (origin === 'channelDefaults' || origin === 'platformDefaults')) return;
    this.#refuse(path, ruleOf(error), 'correct the value');
  }

  #applyRules(config: Config): void {
    const broken = this.#issues.map((issue) => issue.path);
    for (const { path, inputs, check } of rulesOf(config)) {
      if (inputs.some((input) => broken.some((each) => covers(each, input) || covers(input, each)))) continue;
      const verdict = check();
      if (verdict !== null) this.#refuse(path, verdict.rule, verdict.action);
    }
  }

  #refuse(path: string, rule: string, action: string, source?: string | null): void {
    this.#issues.push({ path, rule, action, source: source === undefined ? this.#originOf(path) : source });
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

function ruleOf(error: ErrorObject): string {
  if (error.keyword === 'enum') {
    return `must be one of ${(error.params as { allowedValues: string[] }).allowedValues.join(', ')}`;
  }
  return error.message ?? `breaks the rule "${error.keyword}"`;
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
