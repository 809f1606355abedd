/** `roomline database` at the terminal; what it does to a database is another test's matter. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { DatabaseStatus, DatabaseTool } from '../../src/cli/database-tool.ts';
import { runCommand } from '../../src/cli/program.ts';
import { RoomlineError } from '../../src/errors.ts';

const STORED = { systemIdentifier: '7000000000000000001', timeline: 1 };
const PROMOTED = { ...STORED, timeline: 2 };

const SAME: DatabaseStatus = {
  stored: STORED,
  seen: STORED,
  anotherHistory: null,
  unsafeSettings: [],
  mayDecide: true,
  liveWorkers: 0,
  rooms: [
    { phase: 'held', reason: 'history_changed', rooms: 3, messages: 7 },
    { phase: 'ready', reason: null, rooms: 1, messages: 1 },
  ],
  decisions: [],
};
const OTHER: DatabaseStatus = { ...SAME, seen: PROMOTED, anotherHistory: { stored: STORED, seen: PROMOTED } };
const BLIND: DatabaseStatus = { ...SAME, seen: null };
const FRESH: DatabaseStatus = { ...SAME, stored: null };

async function database(status: DatabaseStatus, args: readonly string[], recorded = true) {
  const folder = mkdtempSync(join(tmpdir(), 'roomline-cli-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'config.json');
  const postgres = { url: 'postgres://roomline:pw@127.0.0.1:5432/roomline' };
  writeFileSync(file, JSON.stringify({ postgres, reference: { secret: 'x'.repeat(32) } }));
  const calls: unknown[] = [];
  const tool: DatabaseTool = {
    status: async () => status,
    adopt: async (...given) => {
      calls.push(['adopt', ...given]);
      return { open: 4, changed: 4, recorded };
    },
    release: async (...given) => {
      calls.push(['release', ...given]);
      return { open: 4, changed: 3, recorded };
    },
    close: async () => void calls.push('close'),
  };
  let out = '';
  let error = '';
  const exit = await runCommand(['database', ...args, '--config', file], {
    version: '9.9.9',
    env: { USER: 'operator-1' },
    print: (text) => {
      out += text;
    },
    printError: (text) => {
      error += text;
    },
    fetch,
    serve: () => Promise.reject(new Error('nothing is served')),
    migrate: () => Promise.reject(new Error('nothing is migrated')),
    openDatabase: async ({ postgres: { url } }) => {
      expect(url.reveal()).toBe(postgres.url);
      return tool;
    },
  });
  return { exit, error, calls, out: out === '' ? null : JSON.parse(out) };
}

const BECAUSE = ['--reason', 'zone a is gone'];

describe('roomline database status', () => {
  it.each([
    [SAME, 'the known one'],
    [OTHER, 'another timeline (2, was 1): rooms are held until an operator decides: roomline database status'],
    [BLIND, 'cannot be compared: the role may not ask which cluster and timeline this is'],
    [FRESH, 'cannot be compared: no cluster and timeline are stored'],
  ])('%# says what the past is', async (status, history) => {
    const { exit, out, calls } = await database(status, ['status']);
    expect(exit).toBe(0);
    expect(out).toEqual({
      history,
      stored: status.stored,
      seen: status.seen,
      unsafeSettings: [],
      liveWorkers: 0,
      rooms: { open: 4, messages: 8, byPhase: status.rooms },
      decisions: [],
    });
    expect(calls).toEqual(['close']);
  });
});

describe('roomline database adopt', () => {
  it('changes nothing without --yes', async () => {
    const { exit, out, error, calls } = await database(OTHER, ['adopt', '--rooms', 'hold', ...BECAUSE]);
    expect(exit).toBe(0);
    expect(out).toMatchObject({ wouldAdopt: PROMOTED, roomsWouldBe: 'hold', rooms: { open: 4 } });
    expect(error).toContain('Nothing was changed. Add --yes');
    expect(calls).toEqual(['close']);
  });

  it.each([
    ['hold', 'operator-1', []],
    ['resend', 'somebody', ['--by', 'somebody']],
  ])('with --yes has the rooms %s, and says who decided', async (rooms, decidedBy, more) => {
    const { out, calls } = await database(OTHER, ['adopt', '--rooms', rooms, ...BECAUSE, '--yes', ...more]);
    expect(calls).toEqual([['adopt', rooms, { reason: 'zone a is gone', decidedBy }], 'close']);
    expect(out).toEqual({ adopted: PROMOTED, roomsOpen: 4, roomsHeld: 4 });
  });

  it('stores what is seen where nothing was stored', async () => {
    const { out } = await database(FRESH, ['adopt', '--rooms', 'hold', ...BECAUSE, '--yes']);
    expect(out).toMatchObject({ adopted: STORED });
  });

  it.each([
    [SAME, 'Cluster and timeline are the known ones. To have the rooms held all the same, add --even-if-same.\n'],
    [BLIND, /cannot be seen: the role may not ask\. .* --even-if-same\.\n$/],
  ])('%# refuses a past that is not another one', async (status, message) => {
    const { exit, error, calls } = await database(status, ['adopt', '--rooms', 'hold', ...BECAUSE, '--yes']);
    expect(exit).toBe(1);
    expect(error).toMatch(message);
    expect(calls).toEqual(['close']);
  });

  it('is refused beside workers that are at work, and to a role that could not record it, with nothing done', async () => {
    const hold = ['adopt', '--rooms', 'hold', '--even-if-same', ...BECAUSE, '--yes'];
    const running = await database({ ...SAME, liveWorkers: 2 }, hold);
    expect(running).toMatchObject({ exit: 1, calls: ['close'] });
    expect(running.error).toMatch(/^2 workers are at work on this database\. Stop every engine/);
    for (const args of [hold, ['release', '--as', 'retry', ...BECAUSE, '--yes']]) {
      const powerless = await database({ ...SAME, mayDecide: false }, args);
      expect(powerless).toMatchObject({ exit: 1, calls: ['close'] });
      expect(powerless.error).toMatch(/may not record decisions\. .* --service-role ROLE\.\n$/);
    }
    expect(
      await database({ ...OTHER, liveWorkers: 1 }, ['adopt', '--rooms', 'hold', ...BECAUSE, '--yes']),
    ).toMatchObject({
      exit: 0,
    });
  });

  it('holds the rooms by hand with --even-if-same, which orders nothing else', async () => {
    const held = await database(SAME, ['adopt', '--rooms', 'hold', '--even-if-same', ...BECAUSE, '--yes']);
    expect(held.calls[0]).toEqual(['adopt', 'hold', { reason: 'zone a is gone', decidedBy: 'operator-1' }]);
    const resend = await database(SAME, ['adopt', '--rooms', 'resend', '--even-if-same', ...BECAUSE, '--yes']);
    expect(resend).toMatchObject({ exit: 1, error: '--even-if-same orders a hold: add --rooms hold.\n' });
    expect(resend.calls).toEqual(['close']);
  });

  it('says where somebody else was faster', async () => {
    const { exit, error } = await database(OTHER, ['adopt', '--rooms', 'hold', ...BECAUSE, '--yes'], false);
    expect(exit).toBe(1);
    expect(error).toContain('Somebody else has decided meanwhile');
  });

  it.each([
    [['adopt', '--rooms', 'hold']],
    [['adopt', ...BECAUSE]],
    [['adopt', '--rooms', 'forget', ...BECAUSE]],
    [['adopt', '--rooms', 'hold', '--reason', ' ']],
    [['release', ...BECAUSE]],
    [['release', '--as', 'forget', ...BECAUSE]],
  ])('refuses %j', async (args) => {
    const { exit, out, calls } = await database(OTHER, args);
    expect([exit, out, calls]).toEqual([1, null, []]);
  });
});

describe('roomline database release', () => {
  it('changes nothing without --yes, and says how many rooms it would concern', async () => {
    const { out, error, calls } = await database(SAME, ['release', '--as', 'retry', ...BECAUSE]);
    expect(out).toEqual({ roomsHeld: 3, wouldBe: 'retry' });
    expect(error).toBe('Nothing was changed. Add --yes to do it.\n');
    expect(calls).toEqual(['close']);
  });

  it.each(['retry', 'skip', 'cancel'])('with --yes ends the hold: %s', async (as) => {
    const { out, calls } = await database(SAME, ['release', '--as', as, ...BECAUSE, '--yes']);
    expect(calls[0]).toEqual(['release', as, { reason: 'zone a is gone', decidedBy: 'operator-1' }]);
    expect(out).toEqual({ roomsReleased: 3, as });
  });

  it('says where the decision could not be recorded', async () => {
    const { exit, error } = await database(SAME, ['release', '--as', 'skip', ...BECAUSE, '--yes'], false);
    expect(exit).toBe(1);
    expect(error).toContain('repeat it');
  });
});

it('explains what cannot be opened', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'roomline-cli-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'config.json');
  const postgres = { url: 'postgres://roomline:pw@127.0.0.1:5432/roomline' };
  writeFileSync(file, JSON.stringify({ postgres, reference: { secret: 'x'.repeat(32) } }));
  let error = '';
  const exit = await runCommand(['database', 'status', '--config', file], {
    version: '9.9.9',
    env: {},
    print: () => undefined,
    printError: (text) => {
      error += text;
    },
    fetch,
    serve: () => Promise.reject(new Error('nothing is served')),
    migrate: () => Promise.reject(new Error('nothing is migrated')),
    openDatabase: () => Promise.reject(new RoomlineError('database_in_recovery')),
  });
  expect(exit).toBe(1);
  expect(error).toMatch(/^database_in_recovery: .*\nPoint postgres\.url at the primary/);
});
