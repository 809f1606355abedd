/** What is installed where nothing is developed: made once, put into another project as npm would, and used from there. */
import { execFile } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { instant } from '../../simulators/platform/settings.ts';
import { startRig } from '../../simulators/rig/rig.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TIMEOUT_MS = 120_000;
const run = promisify(execFile);

describe('the package', { timeout: TIMEOUT_MS }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'roomline-package-'));
  const made = join(folder, 'made');
  const project = join(folder, 'project');
  const installed = join(project, 'node_modules', 'roomline');

  beforeAll(async () => {
    // Run as root, Postgres has an account of its own.
    chmodSync(folder, 0o755);
    await run(process.execPath, [join(ROOT, 'deploy/package.ts'), made]);
    mkdirSync(project);
    writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
    cpSync(made, installed, { recursive: true });
    for (const name of lockedNames()) {
      const link = join(project, 'node_modules', name);
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(join(ROOT, 'node_modules', name), link);
    }
  }, TIMEOUT_MS);

  afterAll(() => rmSync(folder, { recursive: true }));

  /** What its lockfile has npm put beside it. */
  function lockedNames(): string[] {
    const { packages } = readJson<{ packages: Record<string, unknown> }>(join(made, 'npm-shrinkwrap.json'));
    return Object.keys(packages).flatMap((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)$/.exec(path)?.[1] ?? []);
  }

  it('is written over itself alone', async () => {
    const kept = join(folder, 'kept');
    mkdirSync(kept);
    writeFileSync(join(kept, 'package.json'), '{}');
    const refused = await run(process.execPath, [join(ROOT, 'deploy/package.ts'), kept]).catch((error: Error) => error);
    expect(String(refused)).toContain('holds something that is no package');
    expect(readdirSync(kept)).toEqual(['package.json']);
  });

  it('has no sources, and asks for nothing that it does not depend on', () => {
    const files = readdirSync(made, { recursive: true, encoding: 'utf8' });
    expect(files.filter((name) => /(?<!\.d)\.ts$|\.test\.|simulators|tsbuildinfo/.test(name))).toEqual([]);
    const { dependencies } = readJson<{ dependencies: Record<string, string> }>(join(made, 'package.json'));
    const imported = files
      .filter((name) => name.startsWith('lib') && /\.m?js$/.test(name))
      .flatMap((name) => [...readFileSync(join(made, name), 'utf8').matchAll(/\b(?:from|import) '([^'.][^']*)'/g)])
      .map(([, name = '']) => name)
      .filter((name) => !name.startsWith('node:'))
      .map((name) => /^(?:@[^/]+\/)?[^/]+/.exec(name)?.[0]);
    expect(new Set(imported)).toEqual(new Set(Object.keys(dependencies)));
  });

  it('has a lockfile that npm installs it by', async () => {
    const { stdout } = await run('npm', ['ci', '--dry-run', '--offline', '--ignore-scripts'], { cwd: made });
    expect(stdout).toMatch(/added \d+ packages/);
  });

  it('serves, with its dashboard, and is published to by the client that it brings', async () => {
    const rig = await startRig({
      directory: join(folder, 'rig'),
      command: join(installed, 'lib/cli/roomline.mjs'),
      platform: [instant],
    });
    try {
      const { RoomlineClient } = (await import(
        pathToFileURL(join(installed, 'lib/client/client.js')).href
      )) as typeof import('../../src/client/client.ts');
      const roomline = new RoomlineClient({ url: rig.engine.url, key: rig.apiKey });
      const accepted = await roomline.publish({ channel: 'demo', room: 'a', content: { text: 'Hello' } });
      await rig.untilDrained({ deadlineMs: 20_000 });
      expect(await roomline.messages.follow(accepted)).toMatchObject({ outcome: 'acked' });
      const page = await fetch(rig.engine.url);
      expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('<div id="app">')]);
      expect(await rig.engine.stop()).toMatchObject({ code: 0 });
    } finally {
      await rig.stop();
    }
  });

  it('has types by which the example of the documentation compiles', async () => {
    const example = /^```ts\n([\s\S]*?)^```/m.exec(readFileSync(join(ROOT, 'docs/api.md'), 'utf8'))?.[1] ?? '';
    expect(example).toContain("from 'roomline/client'");
    const givens = `import type { MessageRequest } from 'roomline/client';
      declare const messages: MessageRequest[];
      declare const signal: AbortSignal;
      declare const process: { readonly env: Readonly<Record<string, string | undefined>> };\n`;
    const misuse = `
      // @ts-expect-error a field that there is not
      void roomline.publish({ channel: 'support', room: 'a', content: {}, nonsense: 1 });
      // @ts-expect-error an outcome that there is not
      void (outcome === 'nonsense');\n`;
    writeFileSync(join(project, 'example.ts'), givens + example + misuse);
    const compilerOptions = { module: 'nodenext', target: 'es2022', strict: true, noEmit: true, types: [] };
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['example.ts'] }));
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const { stdout } = await run(process.execPath, [tsc, '-p', project]).catch((error: { stdout: string }) => error);
    expect(stdout).toBe('');
  });
});

function readJson<T>(file: string): T {
  return JSON.parse(readFileSync(file, 'utf8')) as T;
}
