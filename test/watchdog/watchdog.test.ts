/** In processes of their own: the watchdog ends the one in which it runs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';

const LIMIT_MS = 600;
const WATCHED = fileURLToPath(new URL('./watched.ts', import.meta.url));

class Watched {
  readonly lines: string[] = [];
  /** Its status, or the name of the signal that ended it. */
  readonly ended: Promise<number | string>;
  readonly #process: ChildProcess;
  readonly #output: NodeJS.EventEmitter;

  constructor() {
    this.#process = spawn(process.execPath, [WATCHED, String(LIMIT_MS)], { stdio: ['pipe', 'pipe', 'inherit'] });
    onTestFinished(() => void this.#process.kill('SIGKILL'));
    this.#output = createInterface({ input: this.#process.stdout as NonNullable<ChildProcess['stdout']> });
    this.#output.on('line', (line: string) => this.lines.push(line));
    this.ended = once(this.#process, 'close').then(([code, signal]) => (code ?? signal) as number | string);
  }

  async says(text: string): Promise<void> {
    while (!this.lines.includes(text)) await once(this.#output, 'line');
  }

  block(ms: number): void {
    this.#process.stdin?.write(`${ms}\n`);
  }

  finish(): void {
    this.#process.stdin?.end();
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  get events(): { event: string; level: string; node: string; durationMs: number }[] {
    return this.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  }
}

async function start(): Promise<Watched> {
  const watched = new Watched();
  await watched.says('watching');
  return watched;
}

describe('a watched process', () => {
  it('goes on after its loop stood still for less than it may, and ends when its work is done', async () => {
    const watched = await start();
    watched.block(LIMIT_MS / 3);
    await watched.says(`blocked for ${LIMIT_MS / 3}`);
    watched.finish();
    expect(await watched.ended).toBe(0);
    expect(watched.events).toEqual([]);
  });

  it('is ended while its loop is blocked, and says why', async () => {
    const watched = await start();
    const begunAt = performance.now();
    watched.block(20_000);
    expect(await watched.ended).toBe('SIGKILL');
    expect(performance.now() - begunAt).toBeLessThan(10_000);
    expect(watched.events).toMatchObject([{ event: 'process.stalled', level: 'error', node: 'watched' }]);
    expect(watched.events[0]?.durationMs).toBeGreaterThan(LIMIT_MS);
  });

  it('ends by itself when it goes on after it was stopped for too long', async () => {
    const watched = await start();
    watched.signal('SIGSTOP');
    await delay(1.5 * LIMIT_MS);
    watched.signal('SIGCONT');
    // The thread or the loop, whichever runs first.
    expect([1, 'SIGKILL']).toContain(await watched.ended);
    expect(watched.events[0]).toMatchObject({ event: 'process.stalled', level: 'error' });
    expect(watched.events[0]?.durationMs).toBeGreaterThan(LIMIT_MS);
  });
});
