import { createMemoryStores } from '../../src/adapters/memory/stores.ts';
import type { HttpServerOptions } from '../../src/http/server.ts';
import { Rig } from './rig.ts';

const SHARDS = 4;

/** A started rig on memory stores. */
export function startMemoryRig(http: Partial<HttpServerOptions> = {}): Promise<Rig> {
  const stores = createMemoryStores({ shards: SHARDS, now: () => Date.now() });
  return new Rig({ stores, shards: SHARDS, http }).start();
}
