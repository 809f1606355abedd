import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type CommandContext, runCommand } from '../../src/cli/program.ts';
import { RoomlineError } from '../../src/errors.ts';
import { hashKey } from '../../src/http/keys.ts';
import { bearer, startServer } from '../http/fixture.ts';

type Scope = Parameters<typeof bearer>[0];

async function run(args: string[], change: Partial<CommandContext> = {}) {
  const printed = { out: '', error: '' };
  const served: object[] = [];
  const migrated: (readonly [string, string | undefined])[] = [];
  const status = await runCommand(args, {
    version: '9.9.9',
    env: {},
    print: (text) => {
      printed.out += text;
    },
    printError: (text) => {
      printed.error += text;
    },
    fetch,
    serve: async (options) => void served.push(options),
    migrate: async (url, _shards, serviceRole) => void migrated.push([url, serviceRole]),
    openDatabase: () => Promise.reject(new Error('no database was expected')),
    ...change,
  });
  return { status, ...printed, served, migrated };
}

function environment(url: string, scope: Scope) {
  return { env: { ROOMLINE_URL: url, ROOMLINE_KEY: bearer(scope).authorization.slice('Bearer '.length) } };
}

function configFile(value: object): string {
  const folder = mkdtempSync(join(tmpdir(), 'roomline-cli-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'config.json');
  writeFileSync(file, JSON.stringify(value));
  return file;
}

const VALID = {
  postgres: { url: 'postgres://roomline:pw@127.0.0.1:5432/roomline' },
  reference: { secret: 'x'.repeat(32) },
};

describe('roomline serve', () => {
  it('serves with the file that it is given', async () => {
    expect(await run(['serve', '--config', '/etc/roomline.json'])).toMatchObject({
      status: 0,
      served: [{ configFile: '/etc/roomline.json' }],
    });
    expect((await run(['serve'])).served).toEqual([{}]);
  });

  it('explains what it cannot start with', async () => {
    const serve = () => Promise.reject(new RoomlineError('schema_outdated', { rule: 'version 7' }));
    const { status, error } = await run(['serve'], { serve });
    expect(status).toBe(1);
    expect(error).toMatch(/^schema_outdated: .*\(version 7\)\nRun "roomline migrate"\.\n$/);
  });

  it('passes any other failure on', async () => {
    const serve = () => Promise.reject(new Error('broken'));
    await expect(run(['serve'], { serve })).rejects.toThrow('broken');
  });
});

describe('roomline migrate', () => {
  it('migrates the configured database', async () => {
    const result = await run(['migrate', '--config', configFile(VALID)]);
    expect(result).toMatchObject({ status: 0, migrated: [[VALID.postgres.url, undefined]] });
    const granted = await run(['migrate', '--service-role', 'roomline', '--config', configFile(VALID)]);
    expect(granted.migrated).toEqual([[VALID.postgres.url, 'roomline']]);
    expect(result.out).not.toContain('pw');
  });
});

describe('roomline config check', () => {
  it('says that all is well', async () => {
    const client = environment('http://127.0.0.1:1', 'read');
    const { status, out } = await run(['config', 'check', '--config', configFile(VALID)], client);
    expect([status, out]).toEqual([0, 'The configuration is valid. Channels: none.\n']);
  });

  it('reports everything that is wrong', async () => {
    const file = configFile({ ...VALID, http: { port: 70_000 }, unheard: 1 });
    const { status, error, out } = await run(['config', 'check', '--config', file]);
    expect([status, out]).toEqual([1, '']);
    expect(error).toContain('http.port');
    expect(error).toContain('unheard');
  });
});

describe('roomline keys create', () => {
  it('prints the key once, with the entry for the configuration', async () => {
    const { status, out, error } = await run(['keys', 'create', '--name', 'backend', '--scopes', 'publish,read']);
    const { key, entry } = JSON.parse(out);
    expect(status).toBe(0);
    expect(entry).toEqual({ name: 'backend', hash: hashKey(key), scopes: ['publish', 'read'] });
    expect(error).not.toContain(key);
  });

  it.each([[['--name', 'x']], [['--name', 'x', '--scopes', 'root']], [['--scopes', 'read']]])(
    'refuses %j',
    async (options) => {
      const { status, out, error } = await run(['keys', 'create', ...options]);
      expect([status, out]).toEqual([1, '']);
      expect(error).not.toBe('');
    },
  );
});

describe('roomline publish, message and room', () => {
  it('go over the HTTP API', async () => {
    const { backend, server } = await startServer();
    const args = ['publish', 'support', 'r/1 ü', '--text', 'Hello', '--message-id', 'm-1', '--ack-timeout-ms', '900'];
    const published = await run(
      [...args, '--to', '+1555', '--failure-policy', 'hold'],
      environment(server.url, 'publish'),
    );
    expect(published).toMatchObject({ status: 0, error: '' });
    const { id } = JSON.parse(published.out);
    const [draft] = backend.published;
    expect(draft).toMatchObject({ messageId: 'm-1', ackTimeoutMs: 900, failurePolicy: 'hold', key: { room: 'r/1 ü' } });
    expect(Buffer.from(draft?.body ?? []).toString()).toBe('{"to":"+1555","content":{"text":"Hello"}}');

    const reader = environment(server.url, 'read');
    expect(JSON.parse((await run(['message', id], reader)).out)).toMatchObject({ id, messageId: 'm-1' });
    expect(JSON.parse((await run(['room', 'support', 'r/1 ü'], reader)).out)).toMatchObject({ tail: 1 });
    const listed = await run(['room', 'support', 'r/1 ü', '--messages', '--tenant', 'default'], reader);
    expect(JSON.parse(listed.out).messages).toHaveLength(1);
  });

  it('take content as JSON', async () => {
    const { backend, server } = await startServer();
    await run(['publish', 'support', 'r', '--content', '{"a":[1]}'], environment(server.url, 'publish'));
    expect(Buffer.from(backend.published[0]?.body ?? []).toString()).toBe('{"to":"r","content":{"a":[1]}}');
  });

  it.each([
    [['publish', 'support', 'r'], 'either --text or --content'],
    [['publish', 'support', 'r', '--text', 'a', '--content', '{}'], 'either --text or --content'],
    [['publish', 'support', 'r', '--content', '{'], 'not JSON'],
    [['publish', 'support'], 'missing required argument'],
    [['publish', 'sales', 'r', '--text', 'a'], 'channel_unknown'],
    [
      ['publish', 'support', 'a\nb', '--text', 'a'],
      'id_invalid: An identifier holds a character that is not allowed (room',
    ],
    [['message', 'nothing'], 'forbidden_scope'],
    [['dance'], 'unknown command'],
  ])('%j ends with 1 and says why', async (args, text) => {
    const { server } = await startServer();
    const { status, out, error } = await run(args, environment(server.url, 'publish'));
    expect([status, out]).toEqual([1, '']);
    expect(error).toContain(text);
  });

  it('say what to set', async () => {
    const { server } = await startServer();
    expect((await run(['message', 'x'])).error).toContain('ROOMLINE_KEY');
    const { url } = server;
    await server.service.stop();
    const { status, error } = await run(['message', 'x'], environment(url, 'read'));
    expect(status).toBe(1);
    expect(error).toContain('ROOMLINE_URL');
    expect(error).not.toContain('rl_');
  });
});

describe('roomline', () => {
  it('tells its version and its commands', async () => {
    expect(await run(['--version'])).toMatchObject({ status: 0, out: '9.9.9\n' });
    const { status, out } = await run(['--help']);
    expect(status).toBe(0);
    for (const command of ['serve', 'migrate', 'config', 'keys', 'publish', 'message', 'room']) {
      expect(out).toContain(command);
    }
  });
});
