/** Faults of the engines' own processes, of their clocks and of the processor that they share. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { NOTICED_AFTER_MS } from './clocks.ts';
import { choose, type Engine } from './engines.ts';
import type { EngineChoice, Failpoint } from './plan.ts';
import type { Ambush } from './postgres-wire.ts';
import { aimAt, deed, type Perform, pause, type World, waitFor, whereBatches } from './world.ts';

export const killEngine: Perform<'engine_kill'> = async (world, { engine: choice, awayMs }) => {
  const engine = choose(world.engines, choice);
  await waitFor(world, () => engine.pid !== null);
  const pid = await killOne(world, engine);
  await pause(world, awayMs);
  await engine.start();
  return deed(pid !== null, `killed ${engine.name}, process ${pid}`);
};

export const killAllEngines: Perform<'engine_kill_all'> = async (world, { awayMs }) => {
  const pids = await Promise.all(world.engines.map((engine) => killOne(world, engine)));
  await pause(world, awayMs);
  await Promise.all(world.engines.map((engine) => engine.start()));
  return deed(!pids.includes(null), `killed processes ${pids.join(', ')}`);
};

export const terminateEngine: Perform<'engine_terminate'> = async (world, { engine: choice, awayMs }) => {
  const engine = choose(world.engines, choice);
  const { pid } = engine;
  const code = await engine.terminate();
  await pause(world, awayMs);
  await engine.start();
  return deed(pid !== null, `SIGTERM to ${engine.name}, process ${pid}, which ended with ${code}`);
};

export const freezeEngine: Perform<'engine_freeze'> = async (world, { engine: choice, leases }) => {
  const engine = choose(world.engines, choice);
  // Another fault may just have it started again.
  await waitFor(world, () => engine.pid !== null);
  const { pid, holder } = engine;
  engine.pause();
  try {
    await pause(world, leases * world.leaseMs);
  } finally {
    engine.resume();
  }
  const who = holder === null ? 'which held nothing' : 'which held shards';
  return deed(pid !== null, `stopped ${engine.name}, ${who}, for ${leases} leases`);
};

export const freezeEngineAt: Perform<'engine_freeze_at'> = async (world, { engine: choice, point, leases }) => {
  const { engine, struck } = await strikeAt(world, choice, point, (one) => one.pause());
  if (struck) {
    try {
      await pause(world, leases * world.leaseMs);
    } finally {
      engine.resume();
    }
  }
  return deed(struck, `stopped ${engine.name} at the answer of ${NAMES[point]}, for ${leases} leases`);
};

export const killEngineAt: Perform<'engine_kill_at'> = async (world, { engine: choice, point, awayMs }) => {
  const { engine, struck } = await strikeAt(world, choice, point, (one) => {
    if (one.holder !== null) world.onHolderKilled(one.holder);
    one.killNow();
  });
  if (struck) {
    // It is dead already; this waits for its end.
    await engine.kill();
    await pause(world, awayMs);
    await engine.start();
  }
  return deed(struck, `killed ${engine.name} at the answer of ${NAMES[point]}`);
};

/** Beyond this the signatures of webhooks would be too old or too new. */
const TOLERATED_S = 290;

export const stepClock: Perform<'clock_step'> = async (world, { engine: choice, byS, forMs }) => {
  const engine = choose(world.engines, choice);
  const webhooks = engine.links.get('webhooks');
  const isCutOff = Math.abs(byS) > TOLERATED_S;
  if (isCutOff) await webhooks.refuse();
  try {
    world.clocks.set(engine.name, byS);
    await pause(world, forMs);
    const offS = () => wallClockOffS(engine);
    // A process that has just started again has no clock to ask yet.
    const stepped = await waitFor(world, async () => Math.abs(((await offS()) ?? 0) - byS) < 30);
    return deed(stepped, `set the clock of ${engine.name} by ${byS} s`);
  } finally {
    world.clocks.set(engine.name, 0);
    await pause(world, 2 * NOTICED_AFTER_MS);
    if (isCutOff) await webhooks.listen();
  }
};

/** What it says in the date of an answer, against our own clock. */
async function wallClockOffS(engine: Engine): Promise<number | null> {
  const answer = await fetch(`http://127.0.0.1:${engine.httpPort}/healthz`, {
    signal: AbortSignal.timeout(1_000),
  }).catch(() => null);
  await answer?.body?.cancel();
  const date = answer?.headers.get('date') ?? null;
  return date === null ? null : (Date.parse(date) - Date.now()) / 1_000;
}

/** Burns so many ms, and then says how much of the processor it had. */
const BURNER = `const end = Date.now() + Number(process.argv[1]);
while (Date.now() < end);
process.stdout.write(String(process.cpuUsage().user));`;

export const starve: Perform<'starvation'> = async (world, { burners, forMs }) => {
  const children = Array.from({ length: burners }, () =>
    spawn(process.execPath, ['-e', BURNER, String(forMs)], { stdio: ['ignore', 'pipe', 'ignore'] }),
  );
  const end = (): void => {
    for (const child of children) child.kill('SIGKILL');
  };
  world.signal.addEventListener('abort', end, { once: true });
  const burned = await Promise.all(children.map(burnedMs));
  world.signal.removeEventListener('abort', end);
  const total = burned.reduce((sum, ms) => sum + ms, 0);
  return deed(total > forMs / 10, `${burners} processes burned ${Math.round(total)} ms`);
};

async function burnedMs(child: ChildProcess): Promise<number> {
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  await once(child, 'close');
  return Number(text) / 1_000;
}

const NAMES: Readonly<Record<Failpoint, string>> = {
  claim: 'a claim',
  settle: 'a settle',
  append: 'an append',
  answer: 'the platform',
};

/** Does it at the moment at which the answer is here and the engine has not seen it yet. */
async function strikeAt(world: World, choice: EngineChoice, point: Failpoint, act: (engine: Engine) => void) {
  let struck = false;
  const { engine } = await aimAt(world, {
    engine: choice,
    ...whereBatches(world, point === 'answer' ? 'claim' : point),
    begin: (one) => {
      const strike = (): 'pass' => {
        struck = one.pid !== null;
        act(one);
        return 'pass';
      };
      if (point === 'answer') {
        one.links.atAnswer(strike);
        return () => one.links.atAnswer(null);
      }
      const ambush: Ambush = { batch: point, strike };
      one.links.ambushes.lay(ambush);
      return () => void one.links.ambushes.lift(ambush);
    },
    hasHit: () => struck,
  });
  return { engine, struck };
}

export async function killOne(world: World, engine: Engine): Promise<number | null> {
  const { holder } = engine;
  const pid = await engine.kill();
  if (pid !== null && holder !== null) world.onHolderKilled(holder);
  return pid;
}
