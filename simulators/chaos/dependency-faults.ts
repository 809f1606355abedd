/** Faults of Postgres, Pub/Sub and the platform themselves. */
import pg from 'pg';
import { DATABASE } from '../rig/database.ts';
import { BATCHES, DUPLICATED } from './settings.ts';
import { deed, last, type Perform, pause, type World, waitFor } from './world.ts';

// ------------------------------------------------------------------------------------------------------------ Postgres

export const killPostgres: Perform<'postgres_kill'> = async (world, { awayMs }) => {
  const { postgres } = world.rig;
  const { pid } = postgres;
  await postgres.kill9();
  await pause(world, awayMs);
  await postgres.restart();
  return deed(pid !== null, `killed every process of Postgres, postmaster ${pid}`);
};

export const restartPostgres: Perform<'postgres_restart'> = async ({ rig }) => {
  const { pid } = rig.postgres;
  await rig.postgres.restart();
  return deed(pid !== null && rig.postgres.pid !== pid, `fast stop of postmaster ${pid}, and start`);
};

export const lockTable: Perform<'table_lock'> = (world, { table, forMs }) =>
  inTransaction(world, async (client) => {
    await client.query(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
    let most = 0;
    let ended = false;
    const fired = await last(world, forMs, async () => {
      // Who takes shards over ends the sessions that are in its way.
      const waiting = await waitingFor(client).catch(() => null);
      ended ||= waiting === null;
      most = Math.max(most, waiting ?? 0);
      return ended || most > 0;
    });
    return deed(fired, `locked ${table}; ${most} sessions waited for it${ended ? ', and it was ended' : ''}`);
  });

/** Its session holds the locks and neither ends nor answers. */
export const lockRows: Perform<'row_lock'> = (world, { rooms, forMs }) =>
  inTransaction(world, async (client) => {
    let locked = 0;
    await waitFor(world, async () => {
      const { rowCount } = await client.query(
        `SELECT FROM rooms WHERE (shard, id) IN (SELECT shard, room_id FROM messages LIMIT $1) FOR UPDATE SKIP LOCKED`,
        [rooms],
      );
      locked += rowCount ?? 0;
      return locked > 0;
    });
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const pid = rows[0]?.pid;
    if (pid === undefined) throw new Error('the session does not know its process');
    process.kill(pid, 'SIGSTOP');
    try {
      await pause(world, forMs);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    return deed(locked > 0, `stopped the session ${pid} that held ${locked} rooms`);
  });

async function inTransaction<T>(world: World, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await connected(world);
  try {
    await client.query('BEGIN');
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Once the server takes connections: another fault may just have it recover. @throws Error where it does not */
async function connected(world: World): Promise<pg.Client> {
  let client: pg.Client | null = null;
  await waitFor(world, async () => {
    const one = new pg.Client({ connectionString: world.rig.postgres.url(DATABASE), application_name: 'chaos' });
    // The engine may have ended a session that was in its way; the next query tells.
    one.on('error', () => undefined);
    client = await one.connect().then(
      () => one,
      () => null,
    );
    return client !== null;
  });
  if (client === null) throw new Error('Postgres takes no connections');
  return client;
}

async function waitingFor(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    'SELECT count(*)::integer AS count FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))',
  );
  return rows[0]?.count ?? 0;
}

// ------------------------------------------------------------------------------------------------------------- Pub/Sub

export const killPubSub: Perform<'pubsub_kill'> = async (world, { awayMs }) => {
  const { pubsub } = world.rig;
  const pid = pubsub.child?.running ? pubsub.child.pid : null;
  await pubsub.kill9();
  await pause(world, awayMs);
  await pubsub.start();
  return deed(pid !== null, `killed Pub/Sub, process ${pid}`);
};

export const loseStreams: Perform<'pubsub_streams_lost'> = async (world) => {
  const { pubsub } = world.rig;
  let streams = 0;
  const fired = await waitFor(world, async () => {
    const { subscriptions } = await pubsub.stats();
    streams = subscriptions.reduce((sum, each) => sum + each.streams, 0);
    return streams > 0;
  });
  await pubsub.loseStreams();
  return deed(fired, `ended ${streams} streams`);
};

export const redeliver: Perform<'pubsub_redelivery'> = async (world, { count }) => {
  const { pubsub } = world.rig;
  let messages = 0;
  const fired = await waitFor(world, async () => {
    // Only what is not acknowledged yet brings the messages after it along: those of this very moment.
    const rooms = [...world.load.recent].reverse();
    for (const room of rooms) messages += await pubsub.redeliver(room, count);
    return messages > 0;
  });
  return deed(fired, `repeated ${messages} messages`);
};

export const duplicate: Perform<'pubsub_duplicates'> = async (world, { probability, forMs }) => {
  const { pubsub } = world.rig;
  const redelivered = async () => {
    const { subscriptions } = await pubsub.stats();
    return subscriptions.reduce((sum, each) => sum + each.redelivered, 0);
  };
  const before = await redelivered();
  try {
    await pubsub.setFaults({ duplicateProbability: probability, redeliverOnStreamEnd: true });
    const fired = await last(world, forMs, async () => (await redelivered()) > before);
    return deed(fired, `${(await redelivered()) - before} messages came twice`);
  } finally {
    await pubsub.setFaults({ duplicateProbability: 0, redeliverOnStreamEnd: false });
  }
};

// ------------------------------------------------------------------------------------------------------------ platform

const CRAWL_MS = 1_500;

export const platformOutage: Perform<'platform_outage'> = async (world, { outage: kind, forMs }) => {
  const { platform } = world.rig;
  const before = await faultCounts(world);
  const unreachable = () => sum(world.engines.map(({ links }) => links.get('platform').counts.unreachable));
  const unreachableBefore = unreachable();
  try {
    await platform.scheduleOutage({ kind, forMs: forMs + 60_000, ...(kind === 'crawl' ? { crawlMs: CRAWL_MS } : {}) });
    let hits = 0;
    const fired = await last(world, forMs, async () => {
      const now = await faultCounts(world);
      const count = (name: string) => (now[name] ?? 0) - (before[name] ?? 0);
      // One is its beginning.
      hits = count(`outage_${kind}`) - 1;
      if (kind === 'refuse') hits = unreachable() - unreachableBefore;
      if (kind === 'black_hole') hits = count('swallowed');
      return hits > 0 || (kind === 'crawl' && hits === 0);
    });
    return deed(fired, kind === 'crawl' ? 'answers crawled' : `${kind}: ${hits} requests`);
  } finally {
    await platform.endOutages();
  }
};

export const platformErrors: Perform<'platform_errors'> = (world, { when, forMs }) =>
  whileSendsFail(world, forMs, 'chaos_5xx', { kind: 'server_error', probability: 0.5, status: 503, when });

export const platformResets: Perform<'platform_resets'> = (world, { when, forMs }) =>
  whileSendsFail(world, forMs, 'chaos_reset', { kind: 'reset', probability: 0.5, when });

export const tooMany: Perform<'platform_429'> = (world, { forMs }) =>
  whileSendsFail(world, forMs, 'chaos_429', {
    kind: 'refuse',
    probability: 1,
    status: 429,
    scope: 'account',
    retryAfterMs: 500,
    retryAfterIn: 'both',
  });

async function whileSendsFail(world: World, forMs: number, name: string, fault: object) {
  const { platform } = world.rig;
  const before = (await faultCounts(world))[name] ?? 0;
  const struck = async () => ((await faultCounts(world))[name] ?? 0) - before;
  try {
    await platform.change({ message: { send: { faults: { [name]: fault as never } } } });
    const fired = await last(world, forMs, async () => (await struck()) > 0);
    return deed(fired, `${await struck()} requests`);
  } finally {
    await platform.change({ message: { send: { faults: { [name]: null } } } });
  }
}

export const ackOutage: Perform<'ack_outage'> = async (world, { forMs }) => {
  const { platform } = world.rig;
  const lost = async () => {
    const counts = await faultCounts(world);
    return (counts.status_lost_sent ?? 0) + (counts.status_lost_delivered ?? 0);
  };
  const before = await lost();
  try {
    await platform.change({ message: { status: { loseAllProbability: 1 } } });
    const fired = await last(world, forMs, async () => (await lost()) > before);
    return deed(fired, `${(await lost()) - before} statuses lost`);
  } finally {
    await platform.change({ message: { status: { loseAllProbability: 0 } } });
  }
};

export const holdAcks: Perform<'acks_held'> = async (world, { forMs }) => {
  const { platform } = world.rig;
  try {
    await platform.holdWebhooks();
    const fired = await last(world, forMs, async () => (await platform.stats()).webhooksWaiting > 0);
    return deed(fired, `${(await platform.stats()).webhooksWaiting} webhooks came all at once`);
  } finally {
    await platform.flushWebhooks();
  }
};

export const ackStorm: Perform<'ack_storm'> = async (world, { copies, batch, forMs }) => {
  const { platform } = world.rig;
  const doubled = async () => (await faultCounts(world)).status_duplicate ?? 0;
  const before = await doubled();
  const storm = (probability: number, sizes: object) =>
    platform.change({
      message: { status: { duplicate: { probability, copies, gapMs: 20, concurrent: true } } },
      channel: { webhooks: { batch: sizes } },
    });
  try {
    await storm(1, { minSize: 1, maxSize: batch, lingerMs: 20 });
    const fired = await last(world, forMs, async () => (await doubled()) > before);
    return deed(fired, `${(await doubled()) - before} statuses, ${copies} copies of each`);
  } finally {
    await storm(DUPLICATED, BATCHES);
  }
};

async function faultCounts({ rig }: World): Promise<Readonly<Record<string, number>>> {
  return (await rig.platform.stats()).faults;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
