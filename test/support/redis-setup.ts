/** Finds the Redis that tests of Redis start servers of. */
import type { TestProject } from 'vitest/node';
import { leaveOut } from './optional.ts';
import { findRedis } from './redis.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Path of redis-server; null where none is installed. */
    readonly redisProgram: string | null;
  }
}

const NONE_INSTALLED = 'No Redis is installed on this machine (on Debian: apt-get install redis-server)';

export default function setup(project: TestProject): void {
  const program = findRedis();
  if (program === null) leaveOut('redis', NONE_INSTALLED, 'nothing is tested with Redis');
  project.provide('redisProgram', program);
}
