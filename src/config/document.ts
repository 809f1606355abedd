/** Renders `docs/configuration.md` from the schema and the default values. */
import { environmentName } from './environment.ts';
import { channelNode, configNode, type SchemaNode } from './schema.ts';

const INTRODUCTION = `# Configuration

Rendered from \`src/config/schema.ts\` and \`config/default.json\`; a test holds this page current
(\`npm test -- test/config.test.ts -u\` rewrites it).

Settings come from \`config/default.json\`, then from a JSON file of your own (\`--config FILE\` or
\`ROOMLINE_CONFIG=FILE\`), then from the environment; later ones win, setting by setting. \`config/example.json\` shows a
complete file. Names that are not listed here are refused, in files and in variables that begin with \`ROOMLINE_\`, and
all errors are reported at once.

A secret may be written as a text, but better as a reference, so that the file holds none: \`{ "env": "NAME" }\` reads a
variable, \`{ "file": "/path" }\` reads a file (one line break at its end is dropped). By environment, lists of names are
separated by commas; \`auth.keys\`, \`channels\` and \`platformDefaults\` are given as JSON.
`;

export function renderConfigurationMarkdown(defaults: unknown): string {
  const sections = Object.entries(configNode.properties ?? {}).filter(
    ([name]) => name !== 'channels' && name !== 'platformDefaults',
  );
  return [
    INTRODUCTION,
    ...sections.map(([name, node]) => renderSection(name, node, defaults)),
    '## `channels.<name>`\n',
    'Channel names match `[A-Za-z0-9._-]{1,64}`. What is not given here is what `platformDefaults.<platform>` says, else',
    'what `channelDefaults` says.\n',
    renderTable(rowsOf(channelNode, ['channels', '<name>'], (defaults as Fields).channelDefaults)),
    '## `platformDefaults.<platform>`\n',
    `${configNode.properties?.platformDefaults?.description} By environment: \`${environmentName(['platformDefaults'])}\`, in JSON. What is set:\n`,
    renderPlatformDefaults((defaults as Fields).platformDefaults as Fields),
  ].join('\n');
}

function renderPlatformDefaults(platforms: Fields): string {
  const rows = Object.entries(platforms).flatMap(([platform, values]) =>
    leaves(values, [platform]).map(([path, value]) => `| \`${path.join('.')}\` | \`${JSON.stringify(value)}\` |`),
  );
  return ['| setting | default |', '| --- | --- |', ...rows, ''].join('\n');
}

function leaves(value: unknown, path: readonly string[]): (readonly [readonly string[], unknown])[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[path, value]];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...path, key]));
}

type Fields = Record<string, unknown>;

function renderSection(name: string, node: SchemaNode, defaults: unknown): string {
  const rows = rowsOf(node, [name], (defaults as Fields)[name]);
  return `## \`${name}\`\n\n${node.description}\n\n${renderTable(rows)}`;
}

function renderTable(rows: readonly string[]): string {
  return ['| setting | rule | default | meaning |', '| --- | --- | --- | --- |', ...rows, ''].join('\n');
}

function rowsOf(node: SchemaNode, path: readonly string[], defaults: unknown): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const here = [...path, key];
    const value = (defaults as Fields | undefined)?.[key];
    const inner = child.items?.properties === undefined ? child : child.items;
    const label = child === inner ? here : [...path, `${key}[]`];
    const own = child.properties === undefined ? [row(here, child, value, node.required?.includes(key) ?? false)] : [];
    return [...own, ...(inner.properties === undefined ? [] : rowsOf(inner, label, child === inner ? value : {}))];
  });
}

function row(path: readonly string[], node: SchemaNode, value: unknown, required: boolean): string {
  const byEnvironment = !path.some((key) => key === '<name>' || key.endsWith('[]'));
  const variable = byEnvironment ? `<br>\`${environmentName(path)}\`` : '';
  const shown = value === undefined ? (required ? 'required' : 'none') : `\`${JSON.stringify(value)}\``;
  return `| \`${path.join('.')}\`${variable} | ${rule(node)} | ${shown} | ${node.description ?? ''} |`;
}

function rule(node: SchemaNode): string {
  if (node.secret === true)
    return `secret${(node.secretMinLength ?? 1) > 1 ? `, at least ${node.secretMinLength} characters` : ''}`;
  if (node.enum !== undefined) return node.enum.map((each) => `\`${each}\``).join(', ');
  if (node.type === 'array') {
    const items = node.items?.properties === undefined && node.items !== undefined ? ` of ${rule(node.items)}` : '';
    return `list${items}${node.minItems === undefined ? '' : `, at least ${node.minItems}`}`;
  }
  if (node.pattern !== undefined) return `text, \`${node.pattern.replaceAll('|', '\\|')}\``;
  if (node.minimum !== undefined) return `${node.type}, ${node.minimum} to ${node.maximum}`;
  if (node.type === 'string') return `text, ${node.minLength} to ${node.maxLength} characters`;
  return node.type ?? '';
}
