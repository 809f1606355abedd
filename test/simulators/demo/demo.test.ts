/** `npm start` as a process, small: its output, its verdict, its end, and its going on after an interruption. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, type TestContext } from 'vitest';
import type { DemoVerdict } from '../../../simulators/demo/verdict.ts';

const START = fileURLToPath(new URL('../../../simulators/demo/start.mjs', import.meta.url));
const TIMEOUT_MS = 360_000;

class Demo {
  readonly lines: string[] = [];
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  readonly #waiting: { readonly pattern: RegExp; readonly resolve: (line: string) => void }[] = [];

  constructor(args: readonly string[], { onTestFinished }: TestContext) {
    this.child = spawn(process.execPath, [START, '--port', '0', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.ended = once(this.child, 'exit').then(([code]) => code as number | null);
    onTestFinished(async () => {
      this.child.kill('SIGTERM');
      await this.ended;
    });
    if (this.child.stdout === null) throw new Error('there is no output');
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      this.lines.push(line);
      for (const { pattern, resolve } of this.#waiting) if (pattern.test(line)) resolve(line);
    });
  }

  /** The first line that looks so, printed already or to come. @throws when the process ends without it. */
  async line(pattern: RegExp): Promise<string> {
    const printed = this.lines.find((line) => pattern.test(line));
    if (printed !== undefined) return printed;
    const found = new Promise<string>((resolve) => this.#waiting.push({ pattern, resolve }));
    const ended = this.ended.then(() => {
      throw new Error(`ended without a line ${pattern}:\n${this.lines.join('\n')}`);
    });
    return Promise.race([found, ended]);
  }

  get output(): string {
    return this.lines.join('\n');
  }
}

function setup(context: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'roomline-demo-'));
  // Run as root, Postgres has an account of its own.
  chmodSync(folder, 0o755);
  context.onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const data = join(folder, 'data');
  const json = join(folder, 'verdict.json');
  return {
    start: (...args: string[]) => new Demo([...args, '--data', data, '--json', json], context),
    verdict: () => JSON.parse(readFileSync(json, 'utf8')) as DemoVerdict,
    hasVerdict: () => existsSync(json),
    /** Names of the parts that still run. */
    leftRunning: () => [
      ...readdirSync(join(data, 'processes')),
      ...readdirSync(join(data, 'postgres')).filter((name) => name === 'lock'),
    ],
  };
}

describe('npm start', { timeout: TIMEOUT_MS, concurrent: true }, () => {
  it('with --exit delivers a load, prints the table, writes a clean verdict and leaves nothing running', async (context) => {
    const { start, verdict, leftRunning } = setup(context);
    const demo = start('--exit', '--rooms', '20', '--messages', '4');
    expect(await demo.ended, demo.output).toBe(0);
    expect(demo.output).toMatch(/^ {2}Roomline +\d+\.\d s /m);
    expect(demo.output).toMatch(/Clean: 0 lost/);
    expect(demo.output).not.toContain('rl_');
    expect(verdict()).toMatchObject({
      clean: true,
      rooms: 20,
      messagesPerRoom: 4,
      roomline: { messages: 80, lost: 0, swapsAfterAcked: 0, violationsR2: 0, violationsR3: 0 },
      everythingAtOnce: { messages: 80, lost: 0 },
      fixedPause: { messages: 80, lost: 0 },
    });
    expect(verdict().everythingAtOnce.swaps).toBeGreaterThan(0);
    expect(leftRunning()).toEqual([]);
  });

  it('goes on where a killed run was interrupted, also when nobody reads its output', async (context) => {
    const { start, verdict, leftRunning } = setup(context);
    const killed = start('--exit', '--rooms', '12', '--messages', '4');
    await killed.line(/on phones: Roomline [1-9]/);
    killed.child.kill('SIGKILL');
    await killed.ended;

    const second = start('--exit', '--rooms', '5', '--messages', '2');
    expect(await second.line(/Delivered first/)).toMatch(/: \d+ messages? of an interrupted run, in \d+\.\d s\.$/);
    second.child.stdout?.destroy();
    expect(await second.ended).toBe(0);
    expect(verdict()).toMatchObject({ clean: true, rooms: 5, roomline: { messages: 10 } });
    expect(leftRunning()).toEqual([]);
  });

  it('stops cleanly when it is interrupted in the middle of its run', async (context) => {
    const { start, hasVerdict, leftRunning } = setup(context);
    const demo = start('--exit', '--rooms', '12', '--messages', '4');
    await demo.line(/on phones: Roomline/);
    demo.child.kill('SIGINT');
    expect(await demo.ended).toBe(130);
    expect(demo.lines.at(-1)).toBe('Stopped.');
    expect(hasVerdict()).toBe(false);
    expect(leftRunning()).toEqual([]);
  });

  it('keeps serving after its run, and what it prints works', async (context) => {
    const { start, leftRunning } = setup(context);
    const demo = start('--rooms', '2', '--messages', '1');
    const url = /http:\S+(?=:)/.exec(await demo.line(/keeps running/))?.[0] ?? '';
    const key = (await demo.line(/KEY=/)).trim().slice('KEY='.length);
    await demo.line(/Ctrl-C stops everything/);
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const body = JSON.stringify({ channel: 'demo', room: 'alice', content: { text: 'Hello' } });
    const published = await fetch(`${url}/v1/messages`, { method: 'POST', headers, body });
    expect(published.status).toBe(202);
    const { id } = (await published.json()) as { id: string };
    const asked = await Promise.all(
      [`/v1/messages/${id}`, '/v1/rooms/demo/alice', '/readyz', '/metrics'].map((path) =>
        fetch(url + path, { headers: path === '/readyz' ? {} : headers }),
      ),
    );
    expect(asked.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    demo.child.kill('SIGTERM');
    expect(await demo.ended).toBe(0);
    expect(leftRunning()).toEqual([]);
  });
});
