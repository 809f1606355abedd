/** A copy of the sources in which bugs can be planted and pulled out again. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Edit } from './bugs.ts';

/** What the lanes need. */
const PARTS = [
  'src',
  'simulators',
  'test',
  'config',
  'docs',
  'deploy',
  'package.json',
  'tsconfig.json',
  'vitest.config.ts',
];

export interface SourceCopy {
  readonly folder: string;
  /** Makes the edits; the function that is returned takes them back. @throws Error where one does not apply. */
  plant(edits: readonly Edit[]): () => void;
  remove(): void;
}

export function copySources(root: string): SourceCopy {
  const folder = mkdtempSync(join(tmpdir(), 'roomline-planted-'));
  for (const part of PARTS) cpSync(join(root, part), join(folder, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  return {
    folder,
    plant: (edits) => {
      const before = new Map<string, string>();
      for (const edit of edits) {
        const file = join(folder, edit.file);
        const text = readFileSync(file, 'utf8');
        if (!before.has(file)) before.set(file, text);
        writeFileSync(file, applyEdit(text, edit));
      }
      return () => {
        for (const [file, text] of before) writeFileSync(file, text);
      };
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** @throws Error unless the text to be replaced stands exactly once in it. */
export function applyEdit(text: string, { file, find, replace }: Edit): string {
  const first = text.indexOf(find);
  if (first === -1) throw new Error(`${file} no longer reads ${JSON.stringify(find)}`);
  if (text.includes(find, first + 1)) throw new Error(`${file} reads ${JSON.stringify(find)} more than once`);
  return text.slice(0, first) + replace + text.slice(first + find.length);
}
