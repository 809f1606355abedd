/** Where messages are, from the command line; and what a shell completes. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createPipelineAnswers } from '../../src/http/pipeline-answers.ts';
import { Backend, keyOf, startServer } from '../http/fixture.ts';
import { runRoomline } from '../support/command.ts';
import { SHARDS } from '../support/engine.ts';
import { Stage } from '../support/pipeline.ts';

/** A room whose head waits for its ack for 3 s, with two messages behind it, and one with a recipient that has settled. */
async function start() {
  const stage = new Stage();
  const { process } = await stage.boot();
  const { engine, clock, references } = process;
  const backend = new Backend();
  const { stores, operators } = stage.bed;
  const { recipients } = operators;
  const sources = { engine, rooms: stores.rooms, store: stage.store, recipients, references, clock, shards: SHARDS };
  backend.dependencies.pipeline = createPipelineAnswers(sources);
  const { server } = await startServer({}, backend);
  await process.recipients.service.start();
  await process.publish('done', ['a'], { to: '+49 1' });
  await stage.bed.platform.last.accept('p-1');
  await process.ack(stage.bed, 'done', 1);
  await stage.publish(process, 'slow', ['a', 'b', 'c']);
  await stage.bed.platform.last.accept();
  await stage.bed.time.advance(3_000);
  await stage.round();
  return (...args: readonly string[]) => runRoomline({ url: server.url, key: keyOf('read') }, args);
}

const lines = (text: string): string[] =>
  text.split('\n').flatMap((line) => (line.trim() === '' ? [] : [line.replace(/\s+/g, ' ').trim()]));

it('roomline pipeline shows how many messages are where', async () => {
  const roomline = await start();
  const { status, out } = await roomline('pipeline');
  expect(status).toBe(0);
  expect(lines(out)).toEqual([
    'CHANNEL ACCEPTING BUFFERED WAITING SENDING AWAITING ACK BACKING OFF UNKNOWN HELD IN/MIN SETTLED/MIN',
    'default/support 0 - 2 0 1 0 0 0 4 1',
    'all 0 - 2 0 1 0 0 0 4 1',
    expect.stringMatching(/^as of \S+Z$/),
  ]);
  expect(JSON.parse((await roomline('pipeline', '--json')).out)).toMatchObject({ complete: true });
});

it('roomline rooms list shows which rooms linger and why', async () => {
  const roomline = await start();
  expect(lines((await roomline('rooms', 'list')).out)).toEqual([
    expect.stringMatching(/^default\/support slow awaiting_ack \d s 3 waiting message 1 was accepted and waits/),
  ]);
  expect((await roomline('rooms', 'list', '--phase', 'held')).out).toBe('None.\n');
  expect(lines((await roomline('rooms', 'list', '--limit', '1')).out)[1]).toMatch(/^More: --cursor awaiting_ack\./);
  const wrong = await roomline('rooms', 'list', '--phase', 'lost');
  expect([wrong.status, wrong.error]).toEqual([1, expect.stringContaining('Allowed choices are ready, waiting')]);
});

it('roomline rooms list --recipient finds rooms by whom their messages go to', async () => {
  const roomline = await start();
  const listed = async (...args: readonly string[]) => lines((await roomline('rooms', 'list', ...args)).out);
  expect(await listed('--recipient', '+49 1')).toEqual([
    expect.stringMatching(/^default\/support done idle \d s 0 waiting /),
  ]);
  expect(await listed('--recipient', 'slow', '--limit', '1')).toEqual([
    expect.stringMatching(/^default\/support slow awaiting_ack /),
    expect.stringMatching(/^More: --cursor \d+\.support$/),
  ]);
  expect(await listed('--recipient', '+49 2', '--channel', 'support')).toEqual(['None.']);
  const both = await roomline('rooms', 'list', '--recipient', '+49 1', '--phase', 'held');
  expect([both.status, both.error]).toEqual([1, expect.stringContaining('field_invalid')]);
});

it('roomline rooms timeline shows what happened in a room', async () => {
  const roomline = await start();
  const shown = lines((await roomline('rooms', 'timeline', 'support', 'done')).out);
  expect(shown.map((line) => line.replace(/^\S+Z /, ''))).toEqual([
    expect.stringMatching(/^#1 acked a \S{26}$/),
    'accepted',
    'attempt begun, attempt 1',
    'attempt ended, attempt 1, accepted',
    'acked, delivered',
    'settled, acked, ack',
  ]);
  const oldest = ['rooms', 'timeline', 'support', 'slow', '--order', 'oldest', '--limit', '1', '--json'];
  expect(JSON.parse((await roomline(...oldest)).out)).toMatchObject({ messages: [{ sequence: 1 }], cursor: 1 });
  expect((await roomline('rooms', 'timeline', 'support', 'none')).error).toContain('room_not_found');
});

describe('roomline completion', () => {
  const complete = (shell: string) =>
    runRoomline({ url: 'http://127.0.0.1:9', key: keyOf('read') }, ['completion', shell]);
  const script = async (shell: string): Promise<string> => (await complete(shell)).out;

  it.each([
    [['roo'], 'room rooms'],
    [['keys', ''], 'create --help'],
    [['dead-letters', 'replay', '--d'], '--dry-run'],
    [['tail', '--channel', 'support', '--e'], '--events'],
  ])('for bash offers after %j what may follow', async (words, offered) => {
    const folder = mkdtempSync(join(tmpdir(), 'roomline-completion-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'roomline.bash');
    writeFileSync(file, await script('bash'));
    const asked = `source ${file}; COMP_WORDS=(roomline ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _roomline; echo "\${COMPREPLY[*]}"`;
    expect(execFileSync('bash', ['-c', asked], { encoding: 'utf8' }).trim()).toBe(offered);
  });

  it('knows other shells, and refuses what is none', async () => {
    expect(await script('zsh')).toContain('bashcompinit');
    expect(await script('fish')).toContain(
      "complete -c roomline -n '__fish_seen_subcommand_from rooms; and __fish_seen_subcommand_from timeline' -l order",
    );
    expect((await complete('cmd')).status).toBe(1);
  });
});
