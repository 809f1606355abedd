/** The fleet as the API says it, asked for no more often than it can change. */
import type { RoomlineClient } from '../../client/client.ts';

type Operations = RoomlineClient['operations'];
export type WorkerList = Awaited<ReturnType<Operations['workers']>>;
export type Worker = WorkerList['workers'][number];
export type Shard = Awaited<ReturnType<Operations['shards']>>['shards'][number];
export type Progress = Awaited<ReturnType<Operations['progress']>>;

export interface Fleet {
  readonly list: WorkerList;
  readonly progress: Progress;
  readonly shards: readonly Shard[];
  /** What the shards were read for. */
  readonly distribution: string;
  /** When they were read, on the page's own clock, ms. */
  readonly shardsReadAt: number;
}

const PAGE = 4_096;
/** Their rooms change without any of them being moved; so long those may be old. */
const SHARDS_KEPT_MS = 15_000;

/** @param before the last one, whose shards are kept as long as none was moved */
export async function readFleet(client: RoomlineClient, before: Fleet | undefined): Promise<Fleet> {
  const [list, progress] = await Promise.all([client.operations.workers(), client.operations.progress()]);
  const { changedAt, moved, promised, unowned, planned } = progress;
  const distribution = [list.membership, changedAt, moved, promised, unowned, planned].join('/');
  const now = performance.now();
  const kept =
    before !== undefined && before.distribution === distribution && now - before.shardsReadAt < SHARDS_KEPT_MS;
  return kept
    ? { ...before, list, progress }
    : { list, progress, shards: await readShards(client), distribution, shardsReadAt: now };
}

async function readShards({ operations }: RoomlineClient): Promise<Shard[]> {
  const shards: Shard[] = [];
  for (let after: number | null = null; ; ) {
    const page: Awaited<ReturnType<Operations['shards']>> = await operations.shards({ after, limit: PAGE });
    shards.push(...page.shards);
    if (page.after === null) return shards;
    after = page.after;
  }
}
