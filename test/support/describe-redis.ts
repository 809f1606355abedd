import { afterEach, describe, inject } from 'vitest';
import { startRedis } from './redis.ts';

/** A suite with the path of the program. Where none is installed it has no tests, and the setup has said so. */
export function describeRedis(name: string, suite: (program: string) => void): void {
  const program = provided('redisProgram');
  describe.each(program === null ? [] : [program])(name, suite);
}

/**
 * A suite that leaves the server and what others keep in it alone: with the server of REDIS_URL where that is given, else
 * with one of its own for each test. `urlOf` gives its address.
 */
export function describeAnyRedis(name: string, suite: (urlOf: () => Promise<string>) => void): void {
  const url = provided('redisUrl');
  const program = provided('redisProgram');
  describe.each(url === null && program === null ? [] : [url])(name, () => {
    const ends: (() => Promise<void>)[] = [];
    afterEach(async () => {
      for (const end of ends.splice(0)) await end();
    });
    suite(async () => {
      if (url !== null) return url;
      const server = await startRedis(program as string);
      ends.push(() => server.stop());
      return server.url;
    });
  });
}

function provided(name: 'redisProgram' | 'redisUrl'): string | null {
  const value = inject(name) as string | null | undefined;
  if (value === undefined) throw new Error('only files named *.redis.test.ts get a Redis');
  return value;
}
