import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const GUARD = new URL('../src/node-version.mjs', import.meta.url);
const { isSupported } = (await import(GUARD.href)) as { isSupported: (version: string) => boolean };

/** Makes the first process that loads it believe that it is an old Node.js; the one it starts is itself again. */
const PRETEND_OLD = `data:text/javascript,${encodeURIComponent(`
  if (process.env.PRETENDED === undefined) {
    process.env.PRETENDED = 'yes';
    Object.defineProperty(process, 'version', { value: 'v20.20.2' });
  }
`)}`;

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'roomline-node-version-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** An entry point like ours, in front of the given main program. */
function entryPoint(name: string, main: string, guard: string = GUARD.href): string {
  const mainFile = join(folder, `${name}-main.mjs`);
  writeFileSync(mainFile, main);
  const file = join(folder, `${name}.mjs`);
  writeFileSync(
    file,
    `import { whenSupported } from ${JSON.stringify(guard)};
     whenSupported(() => import(${JSON.stringify(mainFile)}));`,
  );
  return file;
}

function start(file: string, ...args: string[]) {
  const child = spawn(process.execPath, ['--import', PRETEND_OLD, file, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    child.emit('said', stdout);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, stdout, stderr }));
  return { child, ended };
}

describe('the versions that run Roomline', () => {
  it.each(['v22.23.0', 'v22.24.1', 'v24.14.1', 'v24.14.2', 'v24.15.0', 'v26.0.0', 'v27.0.0', 'v30.1.2'])(
    'include %s',
    (version) => expect(isSupported(version)).toBe(true),
  );

  it.each(['v12.22.12', 'v18.20.0', 'v20.20.2', 'v21.7.3', 'v22.22.9', 'v23.11.1', 'v24.0.0', 'v24.14.0', 'v25.9.0'])(
    'do not include %s',
    (version) => expect(isSupported(version)).toBe(false),
  );
});

describe('an entry point under an old Node.js', () => {
  it('runs again under the project’s own, with the same arguments and exit code', async () => {
    const file = entryPoint(
      'arguments',
      `console.log(JSON.stringify([process.version, ...process.argv.slice(2)])); process.exitCode = 7;`,
    );
    const { ended } = start(file, '--rooms', '10', 'two words');
    const { code, stdout, stderr } = await ended;
    expect(stderr).toBe('');
    const [version, ...args] = JSON.parse(stdout) as [string, ...string[]];
    expect(isSupported(version)).toBe(true);
    expect(args).toEqual(['--rooms', '10', 'two words']);
    expect(code).toBe(7);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('passes %s on and ends as the other one ends', async (signal) => {
    const file = entryPoint(
      `signal-${signal}`,
      `process.on('${signal}', () => { console.log('got it'); process.exit(3); });
       setInterval(() => {}, 1000);
       console.log('ready');`,
    );
    const { child, ended } = start(file);
    await once(child, 'said');
    child.kill(signal);
    expect(await ended).toMatchObject({ code: 3, stdout: 'ready\ngot it\n' });
  });

  it('ends by the same signal', async () => {
    const file = entryPoint('killed', `process.kill(process.pid, 'SIGKILL');`);
    const { ended } = start(file);
    expect(await ended).toMatchObject({ code: null, signal: 'SIGKILL' });
  });

  it('says in one line what is needed where the project brings none along', async () => {
    // The same guard in a place that has no node_modules.
    mkdirSync(join(folder, 'bare', 'src'), { recursive: true });
    const guard = join(folder, 'bare', 'src', 'node-version.mjs');
    writeFileSync(guard, readFileSync(GUARD));
    const { ended } = start(entryPoint('bare', `console.log('must not run');`, guard));
    const { code, stdout, stderr } = await ended;
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr.trim().split('\n')).toEqual([expect.stringMatching(/^Roomline needs Node\.js 22\.23 .* v20\.20\.2/)]);
  });
});
