/** The few things about the code itself that must hold: who may import whom, where chance and time enter, how big. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MAX_LINES = 600;
/**
 * Packages we name ourselves, those that run in production, and all that are installed here: mutation testing alone
 * brings 164, none of which runs elsewhere. Raise a number only together with a reason to.
 */
const DIRECT_BUDGET = 41;
const PRODUCTION_BUDGET = 203;
const TOTAL_BUDGET = 523;

interface SourceFile {
  /** From the root, with slashes: `src/room/room.ts`. */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
}

/** Who may be imported from a folder, first match wins: own sources by path, everything else by name. */
interface Arrow {
  readonly from: RegExp;
  readonly own: RegExp;
  readonly packages: RegExp;
}

const NONE = /^$/;
const ANY = /./;
const SHARED =
  'src/(room/.*|errors\\.ts|telemetry\\.ts|engine/((append-|buffer-|fleet-|live-|operator-|pipeline-)?ports|service|instruments|tallies|fingerprint|recent|open-items)\\.ts)';

const ARROWS: readonly Arrow[] = [
  { from: /^src\/room\//, own: /^src\/room\//, packages: NONE },
  {
    from: /^src\/engine\//,
    own: /^src\/(room\/|engine\/|errors\.ts$|telemetry\.ts$)/,
    packages: /^(p-queue|node:crypto)$/,
  },
  { from: /^src\/adapters\/[^/]+\.ts$/, own: new RegExp(`^${SHARED}$`), packages: ANY },
  ...['postgres', 'pubsub', 'memory', 'redis'].map((adapter) => ({
    from: new RegExp(`^src/adapters/${adapter}/`),
    own: new RegExp(`^(${SHARED}|src/adapters/${adapter}/.*)$`),
    packages: ANY,
  })),
  { from: /^src\/platforms\//, own: new RegExp(`^(${SHARED}|src/platforms/.*)$`), packages: ANY },
  {
    from: /^src\/http\//,
    own: /^src\/(http\/|engine\/|room\/|errors\.ts$|telemetry\.ts$|config\.ts$)/,
    packages: ANY,
  },
  { from: /^src\/config(\/|\.ts$)/, own: /^src\/(config(\/|\.ts$)|errors\.ts$)/, packages: /^(node:.*|ajv|typebox)$/ },
  { from: /^src\/errors\.ts$/, own: NONE, packages: NONE },
  { from: /^src\/telemetry\.ts$/, own: /^src\/(errors|room\/room)\.ts$/, packages: /^(node:crypto|pino|prom-client)$/ },
  // The composition root and the command see everything that belongs to the service.
  {
    from: /^src\/client\//,
    own: /^src\/(client\/|errors\.ts$|http\/(requests|pipeline|steering|steering-contract|([a-z]+-)?schemas)\.ts$)/,
    packages: /^(typebox|eventsource-parser)$/,
  },
  // The page is the API's client: of the server it knows types.
  { from: /^src\/dashboard\/vite\.config\.ts$/, own: NONE, packages: /^(node:.*|vite)$/ },
  {
    from: /^src\/dashboard\//,
    own: /^src\/(dashboard\/|client\/|room\/|http\/([a-z]+-)?schemas\.ts$)/,
    packages: /^(preact(\/.*)?|@preact\/signals|wouter-preact|uplot(\/.*)?)$/,
  },
  { from: /^src\//, own: /^src\//, packages: ANY },
  // What judges the engine shares no code with it.
  { from: /^simulators\/(oracle|platform)\//, own: /^simulators\//, packages: ANY },
  { from: /^simulators\//, own: /^(src|simulators)\//, packages: ANY },
];

function arrowViolations(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, imports }) => {
    const arrow = ARROWS.find(({ from }) => from.test(path));
    if (arrow === undefined) return [`${path} belongs to no known folder`];
    return imports
      .filter((target) => !(target.includes('/') && isOwn(target) ? arrow.own : arrow.packages).test(target))
      .map((target) => `${path} imports ${target}`);
  });
}

function isOwn(target: string): boolean {
  return /^(src|simulators|test|config)\//.test(target);
}

const EFFECTS = {
  room: /\b(Date|performance|process|globalThis|fetch|console|crypto|require|Math\.random|set(Timeout|Interval|Immediate)|queueMicrotask)\b/,
  // Reading a date that a message holds is fine; asking what time it is, is not.
  engine:
    /\b(Date\.now|Date\(\s*\)|performance|process|globalThis|fetch|console|Math\.random|set(Timeout|Interval|Immediate)|random(Bytes|UUID|Int|FillSync)|webcrypto)(?!\w)/,
};

function effectViolations(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, text }) => {
    const layer = /^src\/(room|engine)\//.exec(path)?.[1] as keyof typeof EFFECTS | undefined;
    const found = layer === undefined ? null : EFFECTS[layer].exec(withoutTexts(text));
    return found === null ? [] : [`${path} uses ${found[0]}`];
  });
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|(^|[^:'"`\\])\/\/[^\n]*/g, '$1');
}

function withoutTexts(text: string): string {
  return withoutComments(text).replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, "''");
}

function readSource(path: string, text: string): SourceFile {
  const specifiers = [...withoutComments(text).matchAll(/\b(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g)].map(
    ([, specifier = '']) => specifier,
  );
  const imports = specifiers.map((each) => (each.startsWith('.') ? posix.join(dirname(path), each) : each));
  return { path, text, imports };
}

function sourcesBelow(folder: string): SourceFile[] {
  if (!existsSync(join(ROOT, folder))) return [];
  return (
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .map((name) => posix.join(folder, name.replaceAll('\\', '/')))
      // Other engines to compare with bring packages of their own.
      .filter((path) => !path.includes('/node_modules/') && /\.(tsx?|mjs|js|sql|css)$/.test(path))
      .map((path) => readSource(path, readFileSync(join(ROOT, path), 'utf8')))
  );
}

const sources = sourcesBelow('src');
const simulators = sourcesBelow('simulators');
const tests = sourcesBelow('test');

describe('imports', () => {
  it('follow the arrows: room ← engine ← http, adapters and platforms see ports, nothing sees tests', () => {
    expect(sources.length).toBeGreaterThan(20);
    expect(arrowViolations([...sources, ...simulators])).toEqual([]);
  });

  it.each([
    ['src/room/room.ts', "import { x } from '../errors.ts';", 'src/errors.ts'],
    ['src/room/room.ts', "import type { x } from 'node:crypto';", 'node:crypto'],
    ['src/room/room.ts', "const x = await import('ajv');", 'ajv'],
    ['src/engine/claim.ts', "import { x } from '../adapters/memory/store.ts';", 'src/adapters/memory/store.ts'],
    ['src/engine/claim.ts', "import pg from 'pg';", 'pg'],
    ['src/adapters/postgres/store.ts', "import { x } from '../memory/store.ts';", 'src/adapters/memory/store.ts'],
    ['src/adapters/postgres/store.ts', "export * from '../../engine/rooms.ts';", 'src/engine/rooms.ts'],
    ['src/platforms/generic.ts', "import { x } from '../http/server.ts';", 'src/http/server.ts'],
    ['src/http/server.ts', "import '../adapters/postgres/store.ts';", 'src/adapters/postgres/store.ts'],
    ['src/main.ts', "import { x } from '../simulators/pubsub/server.ts';", 'simulators/pubsub/server.ts'],
    ['src/main.ts', "import { x } from '../test/support/events.ts';", 'test/support/events.ts'],
    ['simulators/oracle/oracle.ts', "import { x } from '../../src/room/ack.ts';", 'src/room/ack.ts'],
  ])('of %s would be refused for: %s', (path, text, target) => {
    expect(arrowViolations([readSource(path, text)])).toEqual([`${path} imports ${target}`]);
  });

  it('are allowed where they follow the arrows', () => {
    const allowed = [
      readSource('src/engine/claim.ts', "import { x } from '../room/room.ts';\nimport PQueue from 'p-queue';"),
      readSource('src/adapters/postgres/store.ts', "import pg from 'pg';\nimport { x } from './sql.ts';"),
      readSource('src/http/server.ts', "// import x from '../main.ts'\nimport { x } from '../engine/engine.ts';"),
    ];
    expect(arrowViolations(allowed)).toEqual([]);
  });
});

describe('time, chance and the outside', () => {
  it('do not enter the pure core, and enter the engine as arguments only', () => {
    expect(effectViolations(sources)).toEqual([]);
  });

  it.each([
    ['src/room/a.ts', 'const now = Date.now();', 'Date'],
    ['src/room/a.ts', 'const a = Math.random();', 'Math.random'],
    ['src/room/a.ts', 'process.exit(1);', 'process'],
    ['src/engine/a.ts', 'setTimeout(run, 5);', 'setTimeout'],
    ['src/engine/a.ts', 'const now = new Date();', 'Date()'],
    ['src/engine/a.ts', 'const now = Date.now();', 'Date.now'],
    ['src/engine/a.ts', 'const id = randomUUID();', 'randomUUID'],
  ])('in %s would be refused for: %s', (path, text, word) => {
    expect(effectViolations([readSource(path, text)])).toEqual([`${path} uses ${word}`]);
  });

  it('may be spoken of in comments and texts, and a date may be read', () => {
    const text = "// no Date.now here\n/** nor\n * setTimeout */\nconst rule = 'no process';\n";
    expect(effectViolations([readSource('src/room/a.ts', text)])).toEqual([]);
    expect(effectViolations([readSource('src/engine/a.ts', 'const ms = Date.parse(text);')])).toEqual([]);
  });
});

describe('files', () => {
  it(`have at most ${MAX_LINES} lines`, () => {
    const long = [...sources, ...simulators, ...tests]
      .map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }))
      .filter(({ lines }) => lines > MAX_LINES);
    expect(long).toEqual([]);
  });
});

describe('dependencies', () => {
  interface LockEntry {
    readonly version?: string;
    readonly resolved?: string;
    readonly integrity?: string;
    readonly dev?: boolean;
  }
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, object>;
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, LockEntry>>;
  };
  const direct = Object.entries({
    ...manifest.dependencies,
    ...manifest.devDependencies,
    ...manifest.optionalDependencies,
  } as Record<string, string>);
  const locked = Object.entries(lock.packages).filter(([path]) => path !== '');

  it('are named by exact versions', () => {
    expect(direct.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([]);
  });

  it('come from the registry with a checksum, never from a repository or an address', () => {
    const doubtful = locked.filter(
      ([, { resolved = '', integrity }]) => integrity === undefined || !/^(https:\/\/.*\.tgz)?$/.test(resolved),
    );
    expect(doubtful.map(([path]) => path)).toEqual([]);
  });

  it('stay within their budget', () => {
    expect(direct.length, 'direct dependencies').toBeLessThanOrEqual(DIRECT_BUDGET);
    const inProduction = locked.filter(([, { dev }]) => dev !== true);
    expect(inProduction.length, 'packages in production').toBeLessThanOrEqual(PRODUCTION_BUDGET);
    expect(locked.length, 'packages in all').toBeLessThanOrEqual(TOTAL_BUDGET);
  });
});
