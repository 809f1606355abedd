import { configNode, type SchemaNode } from './schema.ts';

export const ENVIRONMENT_PREFIX = 'ROOMLINE_';

/** `ackTimeoutMs` of `channelDefaults` is `ROOMLINE_CHANNEL_DEFAULTS_ACK_TIMEOUT_MS`. */
export function environmentName(path: readonly string[]): string {
  return ENVIRONMENT_PREFIX + path.map((key) => key.replace(/[A-Z]/g, '_$&').toUpperCase()).join('_');
}

export interface EnvironmentSetting {
  readonly path: readonly string[];
  readonly node: SchemaNode;
}

/** Sections that are given as a whole, in JSON: their settings would make a variable each, by the hundred. */
const WHOLE: readonly string[] = ['platformDefaults'];

/** Every setting that the environment can give, by variable name. Lists and the channels are given as a whole. */
export const ENVIRONMENT_SETTINGS: ReadonlyMap<string, EnvironmentSetting> = new Map(
  leaves(configNode, []).map((setting) => [environmentName(setting.path), setting]),
);

function leaves(node: SchemaNode, path: readonly string[]): EnvironmentSetting[] {
  if (node.properties === undefined || WHOLE.includes(path.join('.'))) return [{ path, node }];
  return Object.entries(node.properties).flatMap(([key, child]) => leaves(child, [...path, key]));
}

/** The value that a variable's text stands for, or the rule that the text breaks. */
export function readVariable(node: SchemaNode, text: string): { value: unknown } | { rule: string } {
  switch (node.type) {
    case 'integer':
    case 'number':
      return /^-?\d+(\.\d+)?$/.test(text) ? { value: Number(text) } : { rule: 'must be a decimal number' };
    case 'boolean':
      return text === 'true' || text === 'false' ? { value: text === 'true' } : { rule: 'must be true or false' };
    case 'array':
      if (node.items?.enum !== undefined) return { value: text.split(',').map((each) => each.trim()) };
      return readJson(text);
    case 'object':
      return readJson(text);
    default:
      return { value: text };
  }
}

function readJson(text: string): { value: unknown } | { rule: string } {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { rule: 'must be valid JSON' };
  }
}
