import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type CommandContext, runCommand } from '../../src/cli/program.ts';
import { type NewMessageDraft, splitBody } from '../../src/engine/message.ts';
import { RoomlineError } from '../../src/errors.ts';
import { hashKey, type Scope } from '../../src/http/keys.ts';
import { keyOf, startServer } from '../http/fixture.ts';

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
  return { env: { ROOMLINE_URL: url, ROOMLINE_KEY: keyOf(scope) } };
}

function configFile(value: object): string {
  const folder = mkdtempSync(join(tmpdir(), 'roomline-cli-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'config.json');
  writeFileSync(file, JSON.stringify(value));
  return file;
}

/** What the platform would get. */
function bodyOf(draft: NewMessageDraft | undefined): string {
  return Buffer.from(splitBody(draft?.body ?? new Uint8Array()).body).toString();
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
    expect(bodyOf(draft)).toBe('{"to":"+1555","content":{"text":"Hello"}}');

    const reader = environment(server.url, 'read');
    expect(JSON.parse((await run(['message', id], reader)).out)).toMatchObject({ id, messageId: 'm-1' });
    expect(JSON.parse((await run(['room', 'support', 'r/1 ü'], reader)).out)).toMatchObject({ tail: 1 });
    const listed = await run(['room', 'support', 'r/1 ü', '--messages', '--tenant', 'default'], reader);
    expect(JSON.parse(listed.out).messages).toHaveLength(1);
  });

  it('take content as JSON', async () => {
    const { backend, server } = await startServer();
    await run(
      ['publish', 'support', 'r', '--content', '{"a":[1]}', '--supersedes', 'm-0', '--json'],
      environment(server.url, 'publish'),
    );
    expect(backend.published[0]).toMatchObject({ supersedes: 'm-0' });
    expect(bodyOf(backend.published[0])).toBe('{"to":"r","content":{"a":[1]}}');
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

it.each([
  ['publish'],
  ['message'],
  ['messages', 'show'],
  ['messages', 'cancel'],
  ['room'],
  ['rooms', 'show'],
  ['rooms', 'list'],
  ['rooms', 'message'],
  ['rooms', 'messages'],
  ['rooms', 'timeline'],
  ['rooms', 'pause'],
  ['pipeline'],
  ['dead-letters', 'list'],
  ['dead-letters', 'show'],
  ['dead-letters', 'replay'],
  ['failures'],
  ['tail'],
  ['workers'],
  ['shards'],
  ['drain'],
  ['rebalance'],
  ['buffer'],
  ['channels', 'list'],
  ['development', 'status'],
])('roomline %s %s takes --json', async (...command) => {
  const { out } = await run([...command, '--help']);
  expect(out).toMatch(/^Usage: roomline /);
  expect(out).toMatch(/^ {2}--json /m);
});

describe('roomline publish --from', () => {
  const line = (room: string, more: object = {}) =>
    `${JSON.stringify({ channel: 'support', room, content: { room }, ...more })}\n`;
  async function* chunks(...texts: string[]) {
    yield* texts;
  }

  it('publishes the lines of a file, names those that are refused, and repeated as the same run doubles nothing', async () => {
    const { backend, server } = await startServer();
    const file = `${configFile({})}.ndjson`;
    writeFileSync(file, `${line('a')}\n${line('b', { messageId: 'own' })}no json\n${line('', {})}${line('a')}`);
    const args = ['publish', '--from', file, '--run', 'night'];
    const { status, out, error } = await run(args, environment(server.url, 'publish'));
    expect([status, JSON.parse(out)]).toEqual([1, { run: 'night', lines: 5, accepted: 3, duplicates: 0, refused: 2 }]);
    expect(error).toMatch(/^line 4: body_malformed_json.*\nline 5: field_invalid.*\n2 of 5 messages were refused\.\n$/);
    expect(backend.published.map(({ messageId }) => messageId)).toEqual(['night:1', 'own', 'night:6']);
    const again = await run([...args, '--start-line', '6'], environment(server.url, 'publish'));
    expect([again.status, JSON.parse(again.out)]).toEqual([
      0,
      { run: 'night', lines: 1, accepted: 1, duplicates: 1, refused: 0 },
    ]);
  });

  it('reads standard input, whatever its chunks', async () => {
    const { backend, server } = await startServer();
    const text = line('a') + line('b');
    const stdin = chunks(text.slice(0, 7), text.slice(7, 60), text.slice(60));
    const { status } = await run(['publish', '--from', '-'], { ...environment(server.url, 'publish'), stdin });
    expect(status).toBe(0);
    expect(backend.published.map(({ key }) => key.room)).toEqual(['a', 'b']);
  });

  it('says how to go on where the server refuses all', async () => {
    const { server } = await startServer();
    const stdin = chunks(line('a'));
    const result = await run(['publish', '--from', '-', '--run', 'x'], { ...environment(server.url, 'read'), stdin });
    expect(result).toMatchObject({ status: 1, out: '' });
    expect(result.error).toContain('forbidden_scope');
    expect(result.error).toContain('Go on with --run x --start-line 1.');
  });

  it.each([
    [['publish', 'support', 'r', '--from', '-'], 'without channel and room'],
    [['publish', '--from', '-', '--start-line', '0'], 'A line, from 1'],
    [['publish', '--from', '/nowhere/at/all'], 'ENOENT'],
  ])('%j ends with 1', async (args, text) => {
    const { server } = await startServer();
    const { status, error } = await run(args, environment(server.url, 'publish'));
    expect(status).toBe(1);
    expect(error).toContain(text);
  });
});

describe('roomline messages and rooms', () => {
  it('show what message and room show, and pages of messages', async () => {
    const { server } = await startServer();
    const publisher = environment(server.url, 'publish');
    const { id } = JSON.parse((await run(['publish', 'support', 'r', '--text', 'a'], publisher)).out);
    await run(['publish', 'support', 'r', '--text', 'b'], publisher);
    const reader = environment(server.url, 'read');
    expect((await run(['messages', 'show', id], reader)).out).toBe((await run(['message', id], reader)).out);
    expect((await run(['rooms', 'show', 'support', 'r'], reader)).out).toBe(
      (await run(['room', 'support', 'r'], reader)).out,
    );
    const page = JSON.parse((await run(['rooms', 'messages', 'support', 'r', '--limit', '1'], reader)).out);
    expect([page.messages.length, page.messages[0].sequence, page.before]).toEqual([1, 2, 2]);
    const next = await run(['rooms', 'messages', 'support', 'r', '--before', '2'], reader);
    expect(JSON.parse(next.out).messages).toHaveLength(1);
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
