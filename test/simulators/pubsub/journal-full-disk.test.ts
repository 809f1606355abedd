import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { Journal } from '../../../simulators/pubsub/journal.ts';

const disk = vi.hoisted(() => ({ isFull: false }));
vi.mock('node:fs', async (importOriginal) => {
  const fs = await importOriginal<typeof import('node:fs')>();
  const writeSync = (fd: number, bytes: Buffer, from: number): number => {
    if (!disk.isFull) return fs.writeSync(fd, bytes, from);
    fs.writeSync(fd, bytes, from, 5); // some of it still fits
    throw new Error('ENOSPC: no space left on device, write');
  };
  return { ...fs, writeSync };
});

it('a batch that did not fit on the disk is reported and leaves no trace', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'roomline-journal-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, 'pubsub.journal');
  const journal = Journal.open(file, false);
  const heard: Array<string | undefined> = [];
  const append = (name: string): void => {
    journal.append({ name }, (error) => heard.push(error?.message));
    journal.flush();
  };
  append('before');
  disk.isFull = true;
  append('lost');
  disk.isFull = false;
  append('after');
  journal.close();
  expect(heard).toEqual([undefined, expect.stringContaining('ENOSPC'), undefined]);
  const records: unknown[] = [];
  for await (const record of Journal.read(file)) records.push(record);
  expect(records).toEqual([{ name: 'before' }, { name: 'after' }]);
});
