/**
 * Finds the Redis that tests of Redis start servers of, or installs it where that is possible. A server that REDIS_URL
 * names is used beside it, by tests that neither stop a server nor empty it.
 */
import type { TestProject } from 'vitest/node';
import { leaveOut } from './optional.ts';
import { findRedis, installRedis } from './redis.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Path of redis-server or valkey-server; null where none is installed. */
    readonly redisProgram: string | null;
    /** The server of REDIS_URL; null where none is named. */
    readonly redisUrl: string | null;
  }
}

const TO_DO = 'install it (on Debian: apt-get install redis-server), or name a server by REDIS_URL';

export default function setup(project: TestProject): void {
  const url = process.env.REDIS_URL ?? null;
  let program = findRedis();
  if (program === null && url === null) {
    const trouble = installRedis();
    program = findRedis();
    if (program === null) {
      const missing = `No Redis is on the path of this machine, and ${trouble ?? 'apt has installed none'}: ${TO_DO}`;
      leaveOut('redis', missing, 'nothing is tested with Redis');
    }
  } else if (program === null) {
    process.stderr.write(
      'No Redis is installed on this machine: nothing is tested that kills, freezes or empties one\n',
    );
  }
  project.provide('redisProgram', program);
  project.provide('redisUrl', url);
}
