/** Operators' orders, dead letters and failures from the command line. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { runRoomline } from '../support/command.ts';
import { messageOf } from '../support/engine.ts';
import { SteeringBed } from '../support/steering.ts';

async function start() {
  const steered = await SteeringBed.start();
  const run = (...args: string[]) => runRoomline(steered, args);
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

describe('roomline rooms skip-gap', () => {
  it('gives up what a room waits for, and says what', async () => {
    const { steered, run } = await start();
    for (const order of [3, 6]) {
      const message = messageOf('r', `o-${order}`);
      await steered.process.engine.intake.accept({ ...message, order });
    }
    const shown = await run('rooms', 'message', 'support', 'r', 'o-6');
    expect(JSON.parse(shown.out)).toMatchObject({ id: null, state: 'parked', parked: { order: 6, waitsFor: 1 } });
    const badEntry = await run('rooms', 'message', 'support', 'r', 'o-6', '--entry', '1');
    expect(badEntry.error).toMatch(/^field_invalid: .*entry/s);
    expect((await run('rooms', 'skip-gap', 'support', 'r', '--dry-run')).out).toBe(
      'skip-gap would give up order 1 and all that is missing with it.\n',
    );
    expect((await run('rooms', 'skip-gap', 'support', 'r', '--waits-for', '2')).error).toMatch(/^no_gap: /);
    const skipped = await run('rooms', 'skip-gap', 'support', 'r', '--waits-for', '1', '--reason', 'lost');
    expect(skipped.out).toMatch(/^skip-gap: orders 1 to 2 given up; message 1 .*; 1 message is parked: order 4 /);
    const again = await run('rooms', 'skip-gap', 'support', 'r', '--json');
    expect(JSON.parse(again.out)).toMatchObject({ waitsFor: 4, skipped: { first: 4, last: 5 } });
    expect(await steered.audited()).toMatchObject([
      { action: 'room.skip_gap', detail: { waitsFor: 4 } },
      { action: 'room.skip_gap', detail: { waitsFor: 1, reason: 'lost' } },
    ]);
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

  it('list and replay those of one group of failures', async () => {
    const { steered, run } = await start();
    await steered.fail('r', ['a'], 'blocked', 'b10cced');
    await steered.fail('r', ['b'], 'blocked', 'de1e7ed');
    await steered.bed.time.advance(1_000);
    const [newest, oldest] = lines((await run('failures')).out).map((line) => line.split(' ').at(-1) ?? '');
    expect(newest).not.toBe(oldest);
    const fingerprints = [newest, oldest].map((each) => ['--fingerprint', each ?? ''] as const);
    const listed = await Promise.all(fingerprints.map((of) => run('dead-letters', 'list', ...of)));
    expect(listed.map(({ out }) => lines(out).length)).toEqual([1, 1]);
    const [id] = listed[0]?.out.split(' ') ?? [];
    const replayed = lines((await run('dead-letters', 'replay', ...(fingerprints[0] ?? []))).out);
    expect(replayed).toEqual([expect.stringMatching(`^${id} replayed r `)]);
    expect((await run('dead-letters', 'list', '--fingerprint', 'none')).error).toMatch(/^field_invalid/);
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
      /^default\/support refused no_such_number 2 failed 2 for good \S+ \S+ [0-9a-f]{32}$/,
    );
    expect(JSON.parse((await run('failures', '--json')).out).failures).toHaveLength(1);
  });
});
