import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findRedis, installRedis, type Run } from './redis.ts';

describe('the Redis of the tests', () => {
  it('may be Valkey, and must start', () => {
    const folder = mkdtempSync(join(tmpdir(), 'roomline-find-redis-'));
    try {
      const broken = join(folder, 'redis-server');
      const valkey = join(folder, 'valkey-server');
      for (const [program, status] of [
        [broken, 1],
        [valkey, 0],
      ] as const) {
        writeFileSync(program, `#!/bin/sh\nexit ${status}\n`);
        chmodSync(program, 0o755);
      }
      const elsewhere = findRedis('');
      if (elsewhere === null) expect(findRedis(folder)).toBe(valkey);
      else expect([valkey, elsewhere]).toContain(findRedis(folder));
      expect(findRedis(folder)).not.toBe(broken);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('is installed by apt where that is there and may, with a look at what there is to install', () => {
    const ran: string[] = [];
    const answering =
      (...statuses: (number | null)[]): Run =>
      (program, args) => {
        ran.push(`${program} ${args[0]}`);
        return statuses.shift() ?? null;
      };
    expect(installRedis(answering(null), true)).toMatch(/no apt/);
    expect(installRedis(answering(0), false)).toMatch(/may not/);
    ran.length = 0;
    expect(installRedis(answering(0, 100, 0, 0), true)).toBeNull();
    expect(ran).toEqual(['apt-get --version', 'apt-get install', 'apt-get update', 'apt-get install']);
    expect(installRedis(answering(0, 100, 0, 100), true)).toMatch(/could not/);
    expect(installRedis(answering(0, 0), true)).toBeNull();
  });
});
