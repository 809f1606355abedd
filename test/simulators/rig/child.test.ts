import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Child } from '../../../simulators/rig/child.ts';
import { endLeftovers, remember } from '../../../simulators/rig/leftovers.ts';
import { eventually } from '../../support/events.ts';

function setup() {
  const directory = mkdtempSync(join(tmpdir(), 'roomline-child-'));
  mkdirSync(join(directory, 'logs'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  /** A script in the folder, so that the folder stands in its command line. */
  const script = (name: string, code: string): string => {
    const file = join(directory, `${name}.mjs`);
    writeFileSync(file, code);
    return file;
  };
  const start = async (name: string, code: string): Promise<Child> => {
    const command = [script(name, code)];
    const ready = (line: string) => (line === 'ready' ? line : null);
    const [child] = await Child.start({ name, directory, command, ready });
    onTestFinished(() => void child.kill9());
    return child;
  };
  return { directory, script, start };
}

const STAYS = "console.log('ready'); setInterval(() => {}, 1000);";

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe('a child of the rig', () => {
  it('is ready with the line that says so, and leads a group of its own', async () => {
    const { directory, script } = setup();
    const command = [script('a', 'console.log(\'{"port":7}\'); setInterval(() => {}, 1000);')];
    const ready = (line: string) => (line.startsWith('{') ? (JSON.parse(line) as { port: number }) : null);
    const [child, found] = await Child.start({ name: 'a', directory, command, ready });
    expect(found).toEqual({ port: 7 });
    expect(child.running).toBe(true);
    // Signals to a group go to the process whose number it has, only if it leads one.
    process.kill(-child.pid, 'SIGTERM');
    expect(await child.ended).toEqual({ code: null, signal: 'SIGTERM' });
    expect(child.running).toBe(false);
    expect(child.stopping).toBe(false);
  });

  it('that ends before it is ready is an error with its last words', async () => {
    const { start } = setup();
    const failed = start('a', "console.error('no such table'); process.exit(3);");
    await expect(failed).rejects.toThrow(/the a ended at its start \(3\): no such table/);
  });

  it('that fails when run to its end is an error with its last words', async () => {
    const { directory, script } = setup();
    await Child.run({ name: 'fine', directory, command: [script('fine', 'process.exit(0)')] });
    const failed = Child.run({
      name: 'bad',
      directory,
      command: [script('bad', "console.log('no such file'); process.exit(1)")],
    });
    await expect(failed).rejects.toThrow(/the bad failed \(1\): no such file/);
  });

  it('is given up at once when its start is interrupted', async () => {
    const { directory, script } = setup();
    const interruption = new AbortController();
    const started = Child.start({
      name: 'a',
      directory,
      command: [script('a', "console.log('not yet'); setInterval(() => {}, 1000);")],
      ready: (line) => {
        if (line === 'not yet') interruption.abort(new Error('interrupted'));
        return null;
      },
      signal: interruption.signal,
    });
    await expect(started).rejects.toThrow('interrupted');
    expect(readdirSync(join(directory, 'processes'))).toEqual([]);
  });

  it('gets SIGTERM, and SIGKILL when it does not heed it, also while it stands still', async () => {
    const { start } = setup();
    const heeds = await start('heeds', `process.on('SIGTERM', () => process.exit(0)); ${STAYS}`);
    heeds.pause();
    expect(await heeds.stop()).toEqual({ code: 0, signal: null });
    const stubborn = await start('stubborn', `process.on('SIGTERM', () => {}); ${STAYS}`);
    expect(await stubborn.stop(50)).toEqual({ code: null, signal: 'SIGKILL' });
    expect(stubborn.stopping).toBe(true);
  });

  it('gets no settings of another Roomline, and what it prints goes to its log', async () => {
    const { directory, start } = setup();
    process.env.ROOMLINE_TEST_SETTING = 'of another one';
    onTestFinished(() => void delete process.env.ROOMLINE_TEST_SETTING);
    const child = await start('a', `console.log('setting', process.env.ROOMLINE_TEST_SETTING); ${STAYS}`);
    await child.stop();
    expect(readFileSync(join(directory, 'logs', 'a.log'), 'utf8')).toBe('setting undefined\nready\n');
  });

  it('ends when its parent is killed', async () => {
    const { directory, script } = setup();
    const module = new URL('../../../simulators/rig/child.ts', import.meta.url).href;
    const inner = script('inner', STAYS);
    const outer = script(
      'outer',
      `import { Child } from ${JSON.stringify(module)};
       const [child] = await Child.start({
         name: 'inner', directory: ${JSON.stringify(directory)}, command: [${JSON.stringify(inner)}],
         ready: (line) => line === 'ready' ? true : null,
       });
       console.log(child.pid);`,
    );
    const parent = spawn(process.execPath, [outer], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void parent.kill('SIGKILL'));
    const [line] = await once(createInterface({ input: parent.stdout }), 'line');
    const pid = Number(line);
    expect(isAlive(pid)).toBe(true);
    parent.kill('SIGKILL');
    await eventually('the child has ended', () => !isAlive(pid));
  });
});

describe('what a killed run left behind', () => {
  it('is ended at the next start, even where it stands still', async () => {
    const { directory, start } = setup();
    const child = await start('engine', STAYS);
    child.pause();
    const said: string[] = [];
    await endLeftovers(directory, (line) => said.push(line));
    expect(await child.ended).toEqual({ code: null, signal: 'SIGKILL' });
    expect(said).toEqual([`Ending the engine (process ${child.pid}) that an earlier run left behind`]);
  });

  it('is not taken for another process that has its number now', async () => {
    const { directory } = setup();
    const stranger = spawn(process.execPath, ['-e', STAYS], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void stranger.kill('SIGKILL'));
    await once(stranger.stdout, 'data');
    remember(directory, 'engine', stranger.pid ?? 0);
    await endLeftovers(directory, () => {
      throw new Error('there is nothing to say');
    });
    expect(isAlive(stranger.pid ?? 0)).toBe(true);
    expect(existsSync(join(directory, 'processes', 'engine'))).toBe(false);
  });
});
