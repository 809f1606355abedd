import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { FaultSettings } from './faults.ts';
import type { SubscriptionStats } from './subscription.ts';

/** The embedded server as a process of its own. */
export interface PubSubProcess {
  /** host:port, for the client. */
  readonly address: string;
  /** Base URL of the HTTP control. */
  readonly control: string;
  readonly child: ChildProcess;
  /** CPU milliseconds of the process so far, and its subscriptions. */
  stats(): Promise<{ cpuMs: number; subscriptions: SubscriptionStats[] }>;
  setFaults(change: Partial<FaultSettings>): Promise<void>;
  /** SIGTERM, and waits for the end. */
  stop(): Promise<void>;
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>;
}

/** Starts `main.ts` with these arguments and waits until it listens. @throws Error when it ends before that. */
export async function spawnPubSub(args: readonly string[]): Promise<PubSubProcess> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('main.ts', import.meta.url)), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const [line] = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    ended.then(([code, signal]) => {
      throw new Error(`The Pub/Sub server ended before it listened (${code ?? signal}).`);
    }),
  ]);
  const { address, control } = JSON.parse(line) as { address: string; control: string };

  const request = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(control + path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await ended;
  };
  return {
    address,
    control,
    child,
    stats: () => request('GET', '/stats') as ReturnType<PubSubProcess['stats']>,
    setFaults: async (change) => void (await request('PATCH', '/faults', change)),
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  };
}
