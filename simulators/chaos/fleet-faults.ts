/** Faults that only a fleet has: of its Redis, of many processes at once, and of one that comes back from the dead. */
import { Redis } from 'ioredis';
import { killOne } from './engine-faults.ts';
import type { Engine } from './engines.ts';
import type { HeldRequest } from './links.ts';
import { aimAt, deed, type FleetParts, last, type Perform, pause, type World, waitFor } from './world.ts';

/**
 * The zombie: stopped when the first bytes of a request have left it and none has arrived, which the platform cannot tell
 * from a stop between its last look at its lease and its write. They arrive once others have long taken over.
 */
export const sendLate: Perform<'zombie_at_write'> = async (world, { engine: choice, leases }) => {
  let held: HeldRequest | null = null;
  let at: Engine | null = null;
  await aimAt(world, {
    engine: choice,
    atHolder: true,
    begin: (one) => {
      one.links.atRequest((request) => {
        held = request;
        at = one;
        one.pause();
      });
      return () => one.links.atRequest(null);
    },
    hasHit: () => held !== null,
  });
  // Set by a callback, which the compiler does not see.
  const [request, zombie] = [held as HeldRequest | null, at as Engine | null];
  if (request === null || zombie === null) return deed(false, 'nobody sent anything');
  try {
    await pause(world, leases * world.leaseMs);
  } finally {
    request.release();
    zombie.resume();
  }
  return deed(true, `stopped ${zombie.name} between its check and its write for ${leases} leases`);
};

/** One after the other, each in good order. */
export const restartAll: Perform<'rolling_restart'> = async (world) => {
  const codes: (number | null)[] = [];
  for (const engine of world.engines) {
    if (world.signal.aborted) break;
    codes.push(await engine.terminate());
    await engine.start();
  }
  return deed(codes.includes(0), `restarted ${codes.length} processes, which ended with ${codes.join(', ')}`);
};

export const addTwin: Perform<'twin'> = async (world, { end, forMs }) => {
  const { twin } = partsOf(world);
  // On a slow machine the one before may still be going.
  await waitFor(world, () => twin.pid === null);
  await twin.start();
  try {
    const fired = await last(world, forMs, () => twin.holder !== null);
    return deed(fired, `another process of the same name held shards beside the first, and ${end}`);
  } finally {
    if (end === 'is_killed') await killOne(world, twin);
    else await twin.terminate();
  }
};

/** From what runs to one worker, from that to many, and back. */
export const scale: Perform<'scale'> = async (world, { forMs }) => {
  const { reserves } = partsOf(world);
  const workers = world.engines.filter(({ roles }) => roles.has('worker'));
  const [, ...leaving] = workers;
  const codes = await Promise.all(leaving.map((engine) => engine.terminate()));
  const many = [...workers, ...reserves];
  let allHold = false;
  try {
    await pause(world, forMs / 4);
    await Promise.all([...leaving, ...reserves].map((engine) => engine.start()));
    allHold = await waitFor(world, () => many.every(({ holder }) => holder !== null));
  } finally {
    codes.push(...(await Promise.all(reserves.map((engine) => engine.terminate()))));
    await Promise.all(leaving.map((engine) => engine.start()));
  }
  return deed(
    allHold && codes.includes(0),
    `from ${workers.length} workers to 1, to ${many.length} and back; they had ended with ${codes.join(', ')}`,
  );
};

/** The intakes go and come in turn, in good order and not. */
export const changeIntakes: Perform<'intakes_change'> = async (world, { forMs }) => {
  const intakes = world.engines.filter(({ roles }) => roles.has('intake'));
  const until = performance.now() + forMs;
  let turns = 0;
  do {
    const engine = intakes[turns % intakes.length];
    if (engine === undefined) break;
    if (turns % 2 === 0) await engine.terminate();
    else await killOne(world, engine);
    turns++;
    await engine.start();
  } while (performance.now() < until && !world.signal.aborted);
  return deed(turns > 0, `${turns} times one of ${intakes.length} intakes went and came back`);
};

export const stallPostgres: Perform<'postgres_stall'> = async (world, { forMs }) => {
  const { postgres } = world.rig;
  const processes = postgres.pause();
  try {
    await pause(world, forMs);
  } finally {
    postgres.resume();
  }
  return deed(processes > 0, `stopped ${processes} processes of Postgres`);
};

export const flushRedis: Perform<'redis_flush'> = async (world) => {
  const { redis } = partsOf(world);
  const client = new Redis(redis.url, { lazyConnect: true, maxRetriesPerRequest: 0, retryStrategy: null });
  // A failure is told by the command, too.
  client.on('error', () => undefined);
  try {
    await client.connect();
    // What is sent while the scripts are forgotten, too, has to go on.
    const answers = [await client.flushall(), await client.script('FLUSH')];
    return deed(answers[0] === 'OK', 'flushed all of Redis, scripts too');
  } finally {
    client.disconnect();
  }
};

export const killRedis: Perform<'redis_kill'> = async (world, { awayMs }) => {
  const { redis } = partsOf(world);
  const { pid } = redis;
  await redis.kill();
  try {
    await pause(world, awayMs);
  } finally {
    await redis.start();
  }
  return deed(pid !== null, `killed Redis, process ${pid}, and started it after ${awayMs} ms`);
};

export const freezeRedis: Perform<'redis_freeze'> = async (world, { forMs }) => {
  const { redis } = partsOf(world);
  const { pid } = redis;
  redis.pause();
  try {
    await pause(world, forMs);
  } finally {
    redis.resume();
  }
  return deed(pid !== null, `stopped Redis, process ${pid}`);
};

/** @throws Error where the engines are no fleet */
function partsOf({ fleet }: World): FleetParts {
  if (fleet === null) throw new Error('the engines are no fleet');
  return fleet;
}
