import fs from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { Journal } from '../../../simulators/pubsub/journal.ts';

/** For everybody who has imported it by its name, too. */
function writeWith(write: (fd: number, bytes: Buffer, from: number) => number): void {
  fs.writeSync = write as typeof fs.writeSync;
  syncBuiltinESMExports();
}

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
  const { writeSync } = fs;
  writeWith((fd: number, bytes: Buffer, from: number) => {
    writeSync(fd, bytes, from, 5); // some of it still fits
    throw new Error('ENOSPC: no space left on device, write');
  });
  append('lost');
  writeWith(writeSync);
  append('after');
  journal.close();
  expect(heard).toEqual([undefined, expect.stringContaining('ENOSPC'), undefined]);
  const records: unknown[] = [];
  for await (const record of Journal.read(file)) records.push(record);
  expect(records).toEqual([{ name: 'before' }, { name: 'after' }]);
});
