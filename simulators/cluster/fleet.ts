/** A fleet on this machine: processes of the one binary by roles, over one Postgres, one Redis and one Pub/Sub. */
import pg from 'pg';
import { freePort } from '../free-port.ts';
import type { SettingsPatch } from '../platform/settings.ts';
import { DATABASE } from '../rig/database.ts';
import { EngineProcess } from '../rig/engine.ts';
import { engineConfig } from '../rig/engine-config.ts';
import { findRedis, RedisServer } from '../rig/redis.ts';
import { type Rig, startRig } from '../rig/rig.ts';

export type Role = 'intake' | 'api' | 'webhook' | 'worker';

export interface NodePlan {
  readonly name: string;
  readonly roles: readonly Role[];
  /** In place of the fleet's, section by section. */
  readonly settings?: Readonly<Record<string, object>>;
}

export interface FleetOptions {
  readonly directory: string;
  readonly seed: number;
  readonly nodes: readonly NodePlan[];
  /** Policies of the channels, by name. */
  readonly channels: Readonly<Record<string, object>>;
  /** Which of the nodes take a channel's webhooks; all with the role by default. */
  readonly webhooksAt?: Readonly<Record<string, readonly string[]>>;
  readonly platform: readonly SettingsPatch[];
  /** Laid over the settings of every process, section by section. */
  readonly settings?: Readonly<Record<string, object>>;
  /** Settings of Redis; by default it keeps nothing on disk. */
  readonly redis?: Readonly<Record<string, string>>;
  /** Every process may turn the platform's knobs, and empty the database. */
  readonly development?: boolean;
  readonly signal?: AbortSignal;
  readonly say?: (line: string) => void;
}

export interface FleetNode extends NodePlan {
  readonly process: EngineProcess;
  /** Its present identity among the workers, once it has held a shard. */
  worker: string | null;
}

/** A room of a worker, as the database has it. */
export interface HeldRoom {
  readonly room: string;
  readonly shard: number;
  readonly phase: string;
}

/** A fleet's processes share the server's connections. */
const POSTGRES = { settings: { max_connections: '200' } };
const OWNERSHIP_LINE = /"event":"ownership\.acquired"/;

export class Fleet {
  readonly rig: Rig;
  /** Null where none is installed. */
  readonly redis: RedisServer | null;
  readonly nodes = new Map<string, FleetNode>();
  readonly #options: FleetOptions;
  readonly #pool: pg.Pool;

  private constructor(rig: Rig, redis: RedisServer | null, options: FleetOptions) {
    this.rig = rig;
    this.redis = redis;
    this.#options = options;
    this.#pool = new pg.Pool({ connectionString: rig.postgres.url(DATABASE), max: 2, application_name: 'cluster' });
    this.#pool.on('error', () => undefined);
  }

  /** @throws Error where something does not start, or the signal's reason; nothing is left running then */
  static async start(options: FleetOptions): Promise<Fleet> {
    const { directory, seed, channels, nodes, signal, say = () => undefined } = options;
    const ports = new Map<string, number>();
    for (const { name } of nodes) ports.set(name, await freePort());
    const withWebhooks = nodes.filter(({ roles }) => roles.includes('webhook')).map(({ name }) => name);
    const webhooks = Object.entries(channels).map(([channel, policy]) => {
      const { tenant = 'default' } = policy as { readonly tenant?: string };
      const at = options.webhooksAt?.[channel] ?? withWebhooks;
      const urls = at.map((name) => `http://127.0.0.1:${ports.get(name)}/v1/webhooks/${tenant}/${channel}`);
      return [channel, { webhook: { urls } }] as const;
    });
    const program = findRedis();
    const redis = program === null ? null : new RedisServer(program, options.redis ?? {});
    try {
      await redis?.start();
      const rig = await startRig({
        directory,
        seed,
        channels,
        platform: [...options.platform, { channels: Object.fromEntries(webhooks) }],
        postgres: POSTGRES,
        startEngine: false,
        say,
        ...(signal === undefined ? {} : { signal }),
      });
      const fleet = new Fleet(rig, redis, options);
      try {
        await Promise.all(nodes.map((node) => fleet.add(node, ports.get(node.name))));
      } catch (error) {
        await fleet.stop();
        throw error;
      }
      return fleet;
    } catch (error) {
      await redis?.stop();
      throw error;
    }
  }

  /** Starts one process more. Resolves when it is ready for traffic. */
  async add({ name, roles, settings: own = {} }: NodePlan, port?: number): Promise<FleetNode> {
    const { rig, redis } = this;
    const { channels, settings = {}, development = false, signal } = this.#options;
    const config = engineConfig(
      {
        httpPort: port ?? (await freePort()),
        postgresUrl: rig.postgres.url(DATABASE),
        pubsubAddress: rig.pubsub.address,
        platformUrl: rig.platform.url,
        channels,
        settings: {
          ...settings,
          ...own,
          node: { name, roles },
          ...(development ? { development: { enabled: true, platformUrl: rig.platform.controlUrl } } : {}),
          ...(redis === null ? {} : { redis: { url: redis.url } }),
        },
      },
      rig.secrets,
    );
    const process = new EngineProcess({
      directory: rig.directory,
      name: `engine-${name}`,
      config,
      apiKey: rig.apiKey,
      onLine: (line) => {
        if (OWNERSHIP_LINE.test(line)) node.worker = (JSON.parse(line) as { worker: string }).worker;
      },
      ...(signal === undefined ? {} : { signal }),
    });
    const node: FleetNode = { name, roles, process, worker: null };
    this.nodes.set(name, node);
    await process.start();
    return node;
  }

  /** @throws Error where there is none of this name */
  node(name: string): FleetNode {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`there is no ${name}`);
    return node;
  }

  /** How many shards the nodes hold; under `nobody` those that wait for an owner. */
  async shares(): Promise<Map<string, number>> {
    const { rows } = await this.#pool.query<{ name: string; shards: number }>(
      `SELECT CASE WHEN f.fenced OR w.worker IS NULL THEN 'nobody' ELSE w.name END AS name, count(*)::integer AS shards
       FROM shards s LEFT JOIN workers w ON w.worker = s.owner LEFT JOIN fences f ON f.worker = s.owner GROUP BY 1`,
    );
    return new Map(rows.map(({ name, shards }) => [name, shards]));
  }

  /** How many messages have been taken in so far. */
  async appended(): Promise<number> {
    const { rows } = await this.#pool.query<{ messages: number }>(
      'SELECT coalesce(sum(tail), 0)::integer AS messages FROM rooms',
    );
    return rows[0]?.messages ?? 0;
  }

  async roomsOf(worker: string): Promise<HeldRoom[]> {
    const { rows } = await this.#pool.query<HeldRoom>(
      'SELECT room, shard, phase FROM rooms r JOIN shards s USING (shard) WHERE s.owner = $1',
      [worker],
    );
    return rows;
  }

  /** Those of these rooms' shards that this worker still owns. */
  async shardsOf(worker: string): Promise<Set<number>> {
    const { rows } = await this.#pool.query<{ shard: number }>('SELECT shard FROM shards WHERE owner = $1', [worker]);
    return new Set(rows.map(({ shard }) => shard));
  }

  /** All processes, everything that they stand on, and Redis. */
  async stop(): Promise<void> {
    await Promise.all([...this.nodes.values()].map(({ process }) => process.stop()));
    await this.#pool.end();
    await this.rig.stop();
    await this.redis?.stop();
  }
}
