import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** Where Google's emulator can be had, or one line that says why not. */
export type EmulatorLookup = { jar: string } | { missing: string };

const JAR = /^cloud-pubsub-emulator-.*\.jar$/;
const START_TIMEOUT_MS = 30_000;

/** Looks for Java and the emulator's jar: `PUBSUB_EMULATOR_JAR` first, then the Cloud SDK. */
export function findPubSubEmulator(env: NodeJS.ProcessEnv = process.env): EmulatorLookup {
  if (run('java', ['-version']) === null) return { missing: 'Java is not installed' };
  if (env.PUBSUB_EMULATOR_JAR) return { jar: env.PUBSUB_EMULATOR_JAR };
  const sdk = run('gcloud', ['info', '--format=value(installation.sdk_root)'])?.trim();
  if (!sdk) return { missing: 'neither PUBSUB_EMULATOR_JAR nor the Cloud SDK is there' };
  const folder = join(sdk, 'platform', 'pubsub-emulator', 'lib');
  const jar = filesIn(folder).find((name) => JAR.test(name));
  return jar ? { jar: join(folder, jar) } : { missing: `${folder} has no cloud-pubsub-emulator jar` };
}

/** The emulator must be tested, not only where it happens to be installed. */
export function isPubSubEmulatorRequired(env: NodeJS.ProcessEnv = process.env): boolean {
  return env.CI === 'true' || env.ROOMLINE_REQUIRE_EMULATOR === '1';
}

/**
 * Runs the emulator on a free loopback port until `stop`, or until this process ends.
 * @throws Error when it ends, or says nothing for 30 s, before it listens.
 */
export async function startPubSubEmulator(jar: string): Promise<{ address: string; stop: () => Promise<void> }> {
  const port = await freePort();
  const child = spawn('java', ['-Xmx512m', '-jar', jar, '--host=127.0.0.1', `--port=${port}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const killChild = (): void => void child.kill('SIGKILL');
  process.once('exit', killChild);
  const ended = once(child, 'exit');
  const stop = async (): Promise<void> => {
    process.off('exit', killChild);
    child.kill('SIGKILL'); // it keeps nothing, so there is nothing to end gracefully
    await ended;
  };

  const lines = createInterface({ input: child.stderr });
  const listening = new Promise<void>((resolve) => {
    lines.on('line', (line) => {
      if (line.includes('Server started, listening on')) resolve();
    });
  });
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('The Pub/Sub emulator did not start in time.')), START_TIMEOUT_MS);
  try {
    await Promise.race([
      listening,
      late,
      ended.then(([code]) => {
        throw new Error(`The Pub/Sub emulator ended with status ${code} before it listened.`);
      }),
    ]);
  } catch (error) {
    await stop();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return { address: `127.0.0.1:${port}`, stop };
}

/** A command's output, or null when it cannot be run. */
function run(command: string, args: string[]): string | null {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return null;
  }
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('There is no free port.');
  return address.port;
}
