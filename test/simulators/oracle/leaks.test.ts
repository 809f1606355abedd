import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { scanForLeaks } from '../../../simulators/oracle/leaks.ts';

const CANARY = { name: 'a text', text: 'Grüße "an" +49 171/c4nary?' };

const fileOf = async (content: string | Buffer) => {
  const folder = await mkdtemp(join(tmpdir(), 'leaks-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'engine.log');
  await writeFile(file, content);
  return file;
};

const raw = Buffer.from(CANARY.text);
const forms: [string, string][] = [
  ['plain', CANARY.text],
  ['JSON', JSON.stringify({ body: CANARY.text })],
  ['URL', encodeURIComponent(`a b ${CANARY.text}`)],
  ['URL', new URLSearchParams({ to: CANARY.text }).toString()],
  [
    'URL',
    encodeURIComponent(CANARY.text)
      .replaceAll('%C3%BC', '%c3%bc')
      .replaceAll(/%[0-9A-F]{2}/g, (c) => c.toLowerCase()),
  ],
  ['hex', raw.toString('hex')],
  ['hex', raw.toString('hex').toUpperCase()],
  ['bytes', JSON.stringify(raw)],
  ['base64', raw.toString('base64')],
  ['base64', Buffer.from(`x${CANARY.text}y`).toString('base64')],
  ['base64', Buffer.from(`{"${CANARY.text}"}`).toString('base64')],
  ['base64', Buffer.from(`{"t":"${CANARY.text}"}`).toString('base64url')],
];

describe('a canary in a log', () => {
  test.each(forms)('is found as %s: %s', async (form, text) => {
    const file = await fileOf(`{"level":30}\n${text}\n{"level":30}\n`);
    const { leaks, checked } = await scanForLeaks([file], [CANARY, { name: 'another', text: 'not in there' }]);
    expect(checked).toBe(2);
    // A text with nothing to encode has the same form in several ways.
    expect(leaks.map(({ canary, form }) => `${canary} ${form}`)).toContain(`a text ${form}`);
    expect(JSON.stringify(leaks)).not.toContain('c4nary');
  });

  test('is found where it lies across two pieces of a file', async () => {
    const before = 65_536 - 10;
    const file = await fileOf(Buffer.concat([Buffer.alloc(before, '.'), raw, Buffer.alloc(200_000, '.')]));
    const { leaks, bytes } = await scanForLeaks([file], [CANARY]);
    expect(bytes).toBe(before + raw.length + 200_000);
    expect(leaks).toEqual([{ canary: 'a text', form: 'plain', file, offset: before }]);
  });

  test('is not found where it is not', async () => {
    const file = await fileOf('Grüße "an" +49 171/canary?'.repeat(1_000));
    expect((await scanForLeaks([file], [CANARY])).leaks).toEqual([]);
    expect(await scanForLeaks([], [CANARY])).toEqual({ checked: 0, bytes: 0, leaks: [] });
  });

  test('must be long enough not to be there by chance', async () => {
    await expect(scanForLeaks([], [{ name: 'a text', text: 'hello' }])).rejects.toThrow(/a text is shorter than 8/);
  });
});
