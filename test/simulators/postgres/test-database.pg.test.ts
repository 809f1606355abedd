import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { createDatabase, postgresServers } from '../../support/postgres.ts';

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: 'test' });
  await client.connect();
  return client;
}

async function migrate(url: string): Promise<void> {
  const client = await connected(url);
  await client.query('CREATE TABLE items (n int)');
  await client.end();
}

it('includes the embedded version and, in CI, one that the system has installed', () => {
  const names = postgresServers().map(({ name }) => name);
  expect(names[0]).toBe('embedded 18');
  if (process.env.CI === 'true') expect(names[1]).toMatch(/^system \d+$/);
});

describe.each(postgresServers())('a test database on $name', (server) => {
  it('has the schema and its own data', async () => {
    const [one, two] = await Promise.all([createDatabase(server, migrate), createDatabase(server, migrate)]);
    const client = await connected(one.url);
    await client.query('INSERT INTO items VALUES (1)');
    await client.end();
    const other = await connected(two.url);
    expect((await other.query('SELECT * FROM items')).rows).toEqual([]);
    expect((await other.query('SHOW fsync')).rows).toEqual([{ fsync: 'on' }]);
    await other.end();
    await Promise.all([one.drop(), two.drop()]);
    await expect(connected(one.url)).rejects.toThrow('does not exist');
  });

  it('is dropped with an error where a connection was left open', async () => {
    const database = await createDatabase(server, migrate);
    const leak = await connected(database.url);
    const ended = new Promise((resolve) => leak.on('error', resolve));
    await leak.query('SELECT 42 AS leaked');
    await expect(database.drop()).rejects.toThrow(/1 connections .*\ntest \(idle\): SELECT 42 AS leaked/);
    await ended;
    await expect(connected(database.url)).rejects.toThrow('does not exist');
  });
});
