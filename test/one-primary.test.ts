/** Nothing is decided from what a replica says: the sources know one address of one primary, and no other. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { configSchema } from '../src/config/schema.ts';

const ROOT = fileURLToPath(new URL('../src/', import.meta.url));

const sources = readdirSync(ROOT, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => ({
    path: posix.join('src', name.replaceAll('\\', '/')),
    text: readFileSync(join(ROOT, name), 'utf8'),
  }));

function places(pattern: RegExp): string[] {
  return sources.flatMap(({ path, text }) => Array.from(text.match(pattern) ?? [], () => path)).sort();
}

it('sessions get their address in one place, and the migration in another', () => {
  expect(places(/connectionString:/g)).toEqual([
    'src/adapters/postgres/migrate.ts',
    'src/adapters/postgres/session.ts',
  ]);
  expect(places(/clientConfig\(/g)).toEqual([
    'src/adapters/postgres/connection.ts',
    'src/adapters/postgres/pool.ts',
    'src/adapters/postgres/session.ts',
  ]);
  expect(places(/new (pg\.)?(Client|Pool)\((?!options)/g)).toEqual([
    'src/adapters/postgres/connection.ts',
    'src/adapters/postgres/migrate.ts',
    'src/adapters/postgres/pool.ts',
    // Of Redis.
    'src/adapters/redis/connection.ts',
    // Of HTTP.
    'src/platforms/media/fetch.ts',
  ]);
});

it('the configuration has one address of Postgres', () => {
  const { postgres } = configSchema.properties;
  const addresses = Object.keys(postgres.properties).filter((name) =>
    /url|host|address|replica|standby|read/i.test(name),
  );
  expect(addresses).toEqual(['url']);
});
