/** What deployments start from must name variables, files and times as the program has them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ENVIRONMENT_SETTINGS } from '../../src/config/environment.ts';
import { parseConfig } from '../../src/config.ts';

const DEPLOY = new URL('../../deploy/', import.meta.url);
const DEFAULTS = readFileSync(new URL('../config/default.json', DEPLOY), 'utf8');
const read = (name: string): string => readFileSync(new URL(name, DEPLOY), 'utf8');
const files = ['Dockerfile', 'compose.yml', 'kubernetes.yml', 'roomline@.service'] as const;

const URL_AWAY = 'postgres://roomline:pw@db.example:5432/roomline';
const VERIFIED = `${URL_AWAY}?sslmode=verify-full`;
const REFERENCE_SECRET = 'r'.repeat(32);

function configOf(text: string, env: Readonly<Record<string, string>>) {
  return parseConfig({
    files: [
      { name: 'config/default.json', text: DEFAULTS },
      { name: 'roomline.json', text },
    ],
    env: { ROOMLINE_REFERENCE_SECRET: REFERENCE_SECRET, ...env },
    readSecretFile: (path) => {
      throw new Error(`no such file: ${path}`);
    },
  });
}

describe.each(files)('%s', (name) => {
  it('names variables that there are', () => {
    const named = read(name).match(/\bROOMLINE_[A-Z_]+\b/g) ?? [];
    expect(named.length).toBeGreaterThan(0);
    const known = new Set(['ROOMLINE_CONFIG', ...ENVIRONMENT_SETTINGS.keys()]);
    expect(named.filter((variable) => !known.has(variable))).toEqual([]);
  });

  it('runs the command of the package', () => {
    const packager = read('package.ts');
    const commands = read(name).match(/lib\/cli\/\w+\.mjs/g) ?? [];
    for (const command of commands) expect(packager).toContain(`bin: { roomline: '${command}' }`);
    const subcommands = read(name).match(/(?<=args: \[|command: \[|CMD \[")(serve|migrate)/g) ?? [];
    expect(commands.length + subcommands.length).toBeGreaterThan(0);
  });
});

describe('periods of grace', () => {
  const { node } = JSON.parse(DEFAULTS) as { node: { stopTimeoutMs: number } };

  it.each([
    ['compose.yml', /roomline:\n(?: {4}.*\n)* {4}stop_grace_period: (\d+)s/, 0],
    ['kubernetes.yml', /terminationGracePeriodSeconds: (\d+)/, 5],
    ['roomline@.service', /TimeoutStopSec=(\d+)/, 0],
  ])('of %s outlast a graceful stop', (name, pattern, pauseSeconds) => {
    const seconds = Number(pattern.exec(read(name))?.[1]);
    expect(seconds).toBeGreaterThanOrEqual(node.stopTimeoutMs / 1_000 + pauseSeconds + 5);
    if (pauseSeconds > 0) expect(read(name)).toContain(`preStop: { sleep: { seconds: ${pauseSeconds} } }`);
  });
});

describe('settings', () => {
  it('of compose are taken with its variables, over a network without certificates', () => {
    const env = Object.fromEntries(
      [...read('compose.yml').matchAll(/^ {4,}(ROOMLINE_\w+): '?([^'\n$]+)'?$/gm)].map(([, key = '', value = '']) => [
        key,
        value,
      ]),
    );
    const { ROOMLINE_CONFIG: file, ...settings } = env;
    expect(file).toBe('/etc/roomline/roomline.json');
    expect(Object.keys(settings)).toEqual(
      expect.arrayContaining(['ROOMLINE_POSTGRES_REQUIRE_VERIFIED_TLS', 'ROOMLINE_REDIS_URL']),
    );
    const config = configOf(read('roomline.json'), { ...settings, ROOMLINE_POSTGRES_URL: URL_AWAY });
    expect(config.auth.keys.map(({ name }) => name)).toEqual(['chat-backend', 'operator']);
  });

  it('of each instance of the unit are its own: port and name', () => {
    const [host, port] = ['chat-1.example', '8081'];
    const lines = [...read('roomline@.service').matchAll(/^Environment=(.+)$/gm)].flatMap(([, line = '']) =>
      line.split(' '),
    );
    const {
      ROOMLINE_CONFIG: file,
      NODE_ENV: mode,
      ...settings
    } = Object.fromEntries(lines.map((line) => line.replace('%H', host).replace('%i', port).split('=', 2))) as Record<
      string,
      string
    >;
    expect([file, mode]).toEqual(['/etc/roomline/roomline.json', 'production']);
    const config = configOf(read('roomline.json'), { ...settings, ROOMLINE_POSTGRES_URL: VERIFIED });
    expect([config.http.port, config.node.name]).toEqual([8081, 'chat-1.example-8081']);
  });

  it('of Kubernetes are taken, over a network that is verified', () => {
    const text = /roomline\.json: \|\n((?: {4}.*\n)+)/.exec(read('kubernetes.yml'))?.[1] ?? '';
    expect(configOf(text, { ROOMLINE_POSTGRES_URL: VERIFIED }).auth.keys).toHaveLength(1);
    expect(() => configOf(text, { ROOMLINE_POSTGRES_URL: URL_AWAY })).toThrow(/verify-full/);
  });
});

describe('probes', () => {
  it('ask for what every process answers', () => {
    const server = readdirSync(new URL('../src/http/', DEPLOY))
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readFileSync(new URL(`../src/http/${name}`, DEPLOY), 'utf8'))
      .join('\n');
    const asked = files.flatMap((name) => read(name).match(/\/(?:healthz|readyz)/g) ?? []);
    expect(new Set(asked)).toEqual(new Set(['/healthz', '/readyz']));
    for (const path of new Set(asked)) expect(server).toContain(`'${path}'`);
  });
});

describe('the page about deploying', () => {
  it('names files that there are', () => {
    const page = readFileSync(new URL('../docs/deploying.md', DEPLOY), 'utf8');
    const links = [...page.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map(([, target = '']) => target);
    expect(links.length).toBeGreaterThan(8);
    for (const link of links) expect(existsSync(new URL(`../docs/${link}`, DEPLOY)), link).toBe(true);
    for (const name of files) expect(page).toContain(`../deploy/${name}`);
  });
});
