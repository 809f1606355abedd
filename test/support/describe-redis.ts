import { describe, inject } from 'vitest';

/** A suite with the path of redis-server. Where none is installed it has no tests, and the setup has said so. */
export function describeRedis(name: string, suite: (program: string) => void): void {
  const program = inject('redisProgram') as string | null | undefined;
  if (program === undefined) throw new Error('only files named *.redis.test.ts get a Redis');
  describe.each(program === null ? [] : [program])(name, suite);
}
