import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { canEnter } from '../../../simulators/postgres/account.ts';
import { type PostgresOptions, type PostgresServer, startPostgres } from '../../../simulators/postgres/embedded.ts';
import { commandLine } from '../../../simulators/postgres/lock.ts';

const EMBEDDED = new URL('../../../simulators/postgres/embedded.ts', import.meta.url).href;
const AS_ROOT = process.getuid?.() === 0;

let prepared: string;
let folder: string;
let said: string[];
let running: PostgresServer[];

/** A cluster that tests get a copy of: making one takes most of a second. */
beforeAll(async () => {
  prepared = mkdtempSync(join(tmpdir(), 'roomline-embedded-prepared-'));
  chmodSync(prepared, 0o755);
  const server = await startPostgres({ directory: join(prepared, 'pg') });
  await server.stop();
});
afterAll(() => rmSync(prepared, { recursive: true, force: true }));

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'roomline-embedded-'));
  chmodSync(folder, 0o755);
  said = [];
  running = [];
});
afterEach(async () => {
  for (const server of running) {
    await server.stop();
    const kept = join(server.dataDirectory, '..');
    rmSync(kept, { recursive: true, force: true });
    if (!kept.startsWith(folder)) removeIfEmpty(join(kept, '..'));
  }
  rmSync(folder, { recursive: true, force: true });
});

function copyPrepared(): string {
  const directory = join(folder, 'pg');
  if (!existsSync(directory)) spawnSync('cp', ['-a', join(prepared, 'pg'), directory]);
  return directory;
}

async function start(change: Partial<PostgresOptions> = {}): Promise<PostgresServer> {
  const server = await startPostgres({ directory: copyPrepared(), say: (line) => void said.push(line), ...change });
  running.push(server);
  return server;
}

async function query<T extends object>(server: PostgresServer, text: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: server.url() });
  await client.connect();
  try {
    return (await client.query<T>(text)).rows;
  } finally {
    await client.end();
  }
}

async function values(server: PostgresServer, name: string): Promise<number[]> {
  return (await query<{ n: number }>(server, `SELECT n FROM ${name} ORDER BY n`)).map(({ n }) => n);
}

function removeIfEmpty(path: string): void {
  if (existsSync(path) && readdirSync(path).length === 0) rmdirSync(path);
}

describe('an embedded Postgres', () => {
  it('is a durable Postgres 18 that only the loopback address and the password reach', async () => {
    const server = await start({ settings: { shared_buffers: '32MB' } });
    expect(server.major).toBe(18);
    const [settings] = await query<Record<string, string>>(
      server,
      `SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit,
              current_setting('listen_addresses') AS listens, current_setting('shared_buffers') AS buffers,
              current_setting('server_encoding') AS encoding, current_setting('data_checksums') AS checksums`,
    );
    expect(settings).toEqual({
      fsync: 'on',
      commit: 'on',
      listens: '127.0.0.1',
      buffers: '32MB',
      encoding: 'UTF8',
      checksums: 'on',
    });
    const refused = async (change: object) => {
      const client = new pg.Client({ connectionString: server.url(), ...change });
      await expect(client.connect()).rejects.toThrow();
    };
    await refused({ connectionString: server.url().replace(server.password, 'wrong') });
    const other = Object.values(networkInterfaces())
      .flat()
      .find((each) => each?.family === 'IPv4' && !each.internal);
    if (other !== undefined) await refused({ connectionString: server.url().replace('127.0.0.1', other.address) });
    expect(statSync(join(server.dataDirectory, '..', 'password')).mode & 0o777).toBe(0o600);
    expect(said).toEqual([]);
  });

  it('stands in a process group of its own, not under root', async () => {
    const { pid, dataDirectory } = await start();
    // There is a group of this number, so the server leads it; ours is another.
    expect(process.kill(-(pid ?? 0), 0)).toBe(true);
    // Postgres itself insists on running as the owner of its data.
    const { uid } = statSync(dataDirectory);
    expect(uid).not.toBe(0);
    if (!AS_ROOT) expect(uid).toBe(process.getuid?.());
  });

  it('keeps its data and its password from one start to the next', async () => {
    const first = await start();
    await query(first, 'CREATE TABLE kept AS SELECT 1 AS n');
    await first.stop();
    await expect(query(first, 'SELECT')).rejects.toThrow();
    const second = await start();
    expect(second.password).toBe(first.password);
    expect(await values(second, 'kept')).toEqual([1]);
  });

  it('loses nothing that was committed when it is killed, and comes back on the same port', async () => {
    const server = await start();
    await query(server, 'CREATE TABLE kept (n int)');
    const open = new pg.Client({ connectionString: server.url() });
    const broken = new Promise((resolve) => open.on('error', resolve));
    await open.connect();
    await open.query('BEGIN');
    await open.query('INSERT INTO kept VALUES (99)');
    await query(server, 'INSERT INTO kept VALUES (1)');
    const { port, pid } = server;
    await server.kill9();
    await broken;
    expect(server.pid).toBeNull();
    await server.restart();
    expect(server.port).toBe(port);
    expect(server.pid).not.toBe(pid);
    expect(await values(server, 'kept')).toEqual([1]);
  });

  it('says when it ends by itself', async () => {
    const server = await start();
    const { exited } = server;
    process.kill(server.pid ?? 0, 'SIGQUIT');
    await exited;
    expect(server.pid).toBeNull();
    await server.restart();
    expect(await query(server, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  });

  it('ends open transactions when it stops, rather than wait for them', async () => {
    const server = await start();
    const open = new pg.Client({ connectionString: server.url() });
    const broken = new Promise((resolve) => open.on('error', resolve));
    await open.connect();
    await open.query('BEGIN');
    await server.stop();
    await broken;
    expect(existsSync(join(server.dataDirectory, 'postmaster.pid'))).toBe(false);
  });

  it('is not started a second time on the same folder', async () => {
    const first = await start();
    await expect(start()).rejects.toThrow(`is in use by process ${process.pid}; stop that one first`);
    expect(await query(first, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  });

  it('replaces one that a killed process left running, with its data', async () => {
    const directory = copyPrepared();
    const child = spawn(process.execPath, [
      '--input-type=module',
      '--eval',
      `import { startPostgres } from ${JSON.stringify(EMBEDDED)};
       const server = await startPostgres({ directory: ${JSON.stringify(directory)} });
       console.log(JSON.stringify({ pid: server.pid, url: server.url() }));`,
    ]);
    const [output] = (await once(child.stdout, 'data')) as [Buffer];
    const orphan = JSON.parse(String(output)) as { pid: number; url: string };
    const client = new pg.Client({ connectionString: orphan.url });
    await client.connect();
    await client.query('CREATE TABLE kept AS SELECT 7 AS n');
    await client.end();
    child.kill('SIGKILL');
    await once(child, 'close');
    expect(commandLine(orphan.pid)).toContain(directory);

    const server = await start({ directory });
    expect(said).toEqual([`Stopping the Postgres (process ${orphan.pid}) that an earlier run left behind`]);
    expect(commandLine(orphan.pid)).toBeNull();
    expect(await values(server, 'kept')).toEqual([7]);
  });

  it('is not misled by what a dead one left: its process number may be somebody else’s by now', async () => {
    const first = await start();
    const pidFile = join(first.dataDirectory, 'postmaster.pid');
    const lockFile = join(first.dataDirectory, '..', 'lock');
    const [pidText, lockText] = [readFileSync(pidFile, 'utf8'), readFileSync(lockFile, 'utf8')];
    await first.kill9();
    await first.stop();
    writeFileSync(pidFile, pidText.replace(/^\d+/, String(process.pid)));
    writeFileSync(lockFile, lockText.replace(/ .*/, ' 1'));
    const second = await start();
    expect(await query(second, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
  });

  it('starts over where the creation of its cluster was interrupted', async () => {
    const half = join(folder, 'pg', 'data.new');
    mkdirSync(half, { recursive: true });
    writeFileSync(join(half, 'PG_VERSION'), '18\n');
    const server = await start();
    expect(await query(server, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
    expect(existsSync(half)).toBe(false);
  });

  it('refuses the data of another version', async () => {
    const server = await start();
    await server.stop();
    writeFileSync(join(server.dataDirectory, 'PG_VERSION'), '14\n');
    await expect(start()).rejects.toThrow(/holds data of Postgres 14, this is 18; remove the folder/);
  });

  it('says why it did not start, and leaves the folder free', async () => {
    await expect(start({ settings: { max_connections: 'many' } })).rejects.toThrow(/did not start: .*max_connections/);
    await start();
  });

  it('keeps its data in the folder, or, as root in a folder that others cannot enter, outside and says so', async () => {
    chmodSync(folder, 0o700);
    const server = await start({ directory: join(folder, 'fresh') });
    if (AS_ROOT) {
      expect(server.dataDirectory.startsWith(folder)).toBe(false);
      expect(said).toEqual([expect.stringContaining(join(server.dataDirectory, '..', '..'))]);
    } else {
      expect(server.dataDirectory.startsWith(folder)).toBe(true);
      expect(said).toEqual([]);
    }
    await query(server, 'CREATE TABLE kept AS SELECT 3 AS n');
    await server.stop();
    const again = await start({ directory: join(folder, 'fresh') });
    expect(again.dataDirectory).toBe(server.dataDirectory);
    expect(await values(again, 'kept')).toEqual([3]);
  });
});

describe('whether an account can enter a folder', () => {
  it('depends on every folder above it', () => {
    const { uid, gid } = statSync(folder);
    const stranger = { uid: uid + 4711, gid: gid + 4711 };
    const inner = join(folder, 'a', 'b');
    mkdirSync(inner, { recursive: true });
    for (const path of [join(folder, 'a'), inner]) chmodSync(path, 0o755);
    expect(canEnter(stranger, inner)).toBe(true);
    chmodSync(join(folder, 'a'), 0o710);
    expect(canEnter(stranger, inner)).toBe(false);
    expect(canEnter({ ...stranger, gid }, inner)).toBe(true);
    expect(canEnter({ uid, gid: stranger.gid }, inner)).toBe(true);
    chmodSync(join(folder, 'a'), 0o700);
    expect(canEnter({ ...stranger, gid }, inner)).toBe(false);
  });
});
