/** Operators' orders, dead letters and failures from the command line. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { runCommand } from '../../src/cli/program.ts';
import { SteeringBed } from '../support/steering.ts';

async function start() {
  const steered = await SteeringBed.start();
  const run = async (...args: string[]) => {
    let [out, error] = ['', ''];
    const status = await runCommand(args, {
      version: '9.9.9',
      env: { ROOMLINE_URL: steered.url, ROOMLINE_KEY: steered.key },
      print: (text) => {
        out += text;
      },
      printError: (text) => {
        error += text;
      },
      fetch,
      serve: () => Promise.reject(new Error('nothing is to be served')),
      migrate: () => Promise.reject(new Error('nothing is to be migrated')),
      openDatabase: () => Promise.reject(new Error('no database was expected')),
    });
    return { status, out, error };
  };
  return { steered, run };
}

const lines = (text: string): string[] =>
  text.split('\n').flatMap((line) => (line === '' ? [] : [line.replace(/\s+/g, ' ').trim()]));

describe('roomline rooms and messages', () => {
  it('pause, resume, skip, cancel and retry say what happens', async () => {
    const { steered, run } = await start();
    await steered.process.publish('r', ['a', 'b']);
    const [first, second] = [await steered.id('r', 1), await steered.id('r', 2)];
    expect((await run('rooms', 'pause', 'support', 'r', '--dry-run')).out).toMatch(
      /^pause would be: message 1 goes on/,
    );
    expect((await run('rooms', 'pause', 'support', 'r', '--reason', 'why not')).out).toMatch(
      /^pause: message 1 goes on/,
    );
    expect((await run('rooms', 'pause', 'support', 'r')).out).toMatch(/^pause changes nothing: /);
    const cancelled = await run('messages', 'cancel', second);
    expect(cancelled.out).toBe('cancel: it settles as cancelled, without an attempt, when its turn comes.\n');
    expect((await run('messages', 'skip', first)).out).toBe(
      'skip: it settles as skipped when its open attempt ends, unless an ack comes before.\n',
    );
    await steered.bed.platform.last.accept();
    expect(
      JSON.parse((await run('rooms', 'resume', 'support', 'r', '--tenant', 'default', '--json')).out),
    ).toMatchObject({
      order: 'resume',
      changed: true,
    });
    expect(await steered.bed.outcomes('r')).toEqual(['skipped', 'cancelled']);
    const late = await run('messages', 'retry', first);
    expect(late).toMatchObject({ status: 1, out: '' });
    expect(late.error).toMatch(/^message_settled: The message has settled as skipped/);
    expect((await steered.audited())[3]).toMatchObject({ action: 'room.pause', detail: { reason: 'why not' } });
  });
});

describe('roomline dead-letters', () => {
  it('list, show, replay and discard', async () => {
    const { steered, run } = await start();
    await steered.fail('r', ['a', 'b', 'c']);
    const listed = lines((await run('dead-letters', 'list', '--channel', 'support', '--limit', '2')).out);
    expect(listed[0]).toMatch(/^3 \S+ open default\/support refused no_such_number r 3$/);
    expect(listed).toHaveLength(3);
    const cursor = listed[2]?.split(' ').at(-1) ?? '';
    expect(lines((await run('dead-letters', 'list', '--channel', 'support', '--cursor', cursor)).out)).toHaveLength(1);
    expect(JSON.parse((await run('dead-letters', 'show', '1')).out)).toMatchObject({ body: { content: { id: 'a' } } });
    expect((await run('dead-letters', 'discard', '3', '--reason', 'spam')).out).toBe('3  discarded\n');
    const dry = await run('dead-letters', 'replay', '--code', 'no_such_number', '--dry-run');
    expect(lines(dry.out)).toEqual(['1 replayable r', '2 replayable r', 'Nothing was done.']);
    const replayed = lines((await run('dead-letters', 'replay', '--all')).out);
    expect(replayed).toEqual(
      [4, 5].map((to, index) => expect.stringMatching(`^${index + 1} replayed r ${index + 1} -> ${to} `)),
    );
    const closed = await run('dead-letters', 'replay', '3', '2');
    expect(closed.status).toBe(1);
    expect(lines(closed.out)).toEqual([
      expect.stringMatching('^2 already r 2 -> 5 '),
      '3 refused r dead_letter_closed: The dead letter was discarded',
    ]);
    expect((await run('dead-letters', 'discard', '2')).status).toBe(1);
  });

  it('replay a corrected payload from a file', async () => {
    const { steered, run } = await start();
    const payload = Buffer.from('{}');
    await steered.bed.stores.deadLetters.putIntake([
      { reason: 'field_missing', detail: 'channel', payload, attributes: {}, dedupeKey: 'k', at: 1 },
    ]);
    const folder = mkdtempSync(join(tmpdir(), 'roomline-steering-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'message.json');
    writeFileSync(file, JSON.stringify({ channel: 'support', room: 'r', content: { id: 'x' } }));
    expect(lines((await run('dead-letters', 'replay', '1', '--message', file)).out)[0]).toMatch(/^1 replayed r -> 1 /);
    expect((await run('dead-letters', 'replay', '1', '--message', join(folder, 'none'))).status).toBe(1);
  });

  it.each([
    ['nothing that says which', ['dead-letters', 'discard'], 'Give either ids'],
    ['ids and a filter', ['dead-letters', 'replay', '1', '--channel', 'support'], 'Give either ids'],
    ['ids and all', ['dead-letters', 'replay', '1', '--all'], 'Give either ids'],
    ['a limit of ids', ['dead-letters', 'replay', '1', '--limit', '3'], '--limit goes with a filter'],
    ['no number', ['dead-letters', 'replay', 'x'], 'is no id'],
    ['no number as a limit', ['dead-letters', 'replay', '--limit', 'x'], 'A whole number'],
    ['a message for two', ['dead-letters', 'replay', '1', '2', '--message', '/dev/null'], 'It cannot be read as JSON'],
  ])('refuse %s', async (_name, args, said) => {
    const { run } = await start();
    const { status, error } = await run(...args);
    expect(status).toBe(1);
    expect(error).toContain(said);
  });
});

describe('roomline failures', () => {
  it('shows what fails', async () => {
    const { steered, run } = await start();
    expect((await run('failures')).out).toBe('None.\n');
    await steered.fail('r', ['a', 'b']);
    await steered.bed.time.advance(1_000);
    expect(lines((await run('failures', '--channel', 'support')).out)[0]).toMatch(
      /^default\/support refused no_such_number 2 failed 2 for good \S+ \S+$/,
    );
    expect(JSON.parse((await run('failures', '--json')).out).failures).toHaveLength(1);
  });
});
