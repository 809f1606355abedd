import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseOptions } from '../../../simulators/demo/options.ts';

const START = fileURLToPath(new URL('../../../simulators/demo/start.mjs', import.meta.url));

const parsed = (...args: string[]) => parseOptions(['node', 'start', ...args]);

describe('the options', () => {
  it('are those of the generic platform by default', () => {
    const { data, ...options } = parsed();
    expect(options).toEqual({
      channel: 'generic',
      rooms: 1_000,
      messages: 10,
      exit: false,
      json: null,
      port: 8_080,
      seed: 1,
    });
    expect(data).toMatch(/[/\\]\.roomline$/);
  });

  it('have a load for each channel, and a folder', () => {
    expect(parsed('--channel', 'telegram', '--data', '/d')).toMatchObject({
      channel: 'telegram',
      rooms: 100,
      messages: 10,
      data: join('/d', 'telegram'),
    });
    expect(parsed('--channel', 'generic', '--data', '/d').data).toBe('/d');
  });

  it('give way to what is asked for', () => {
    const given = ['--rooms', '3', '--messages', '2', '--seed', '9', '--json', 'v.json', '--exit', '--port', '0'];
    expect(parsed('--channel', 'whatsapp', ...given)).toMatchObject({
      rooms: 3,
      messages: 2,
      seed: 9,
      json: 'v.json',
      exit: true,
      port: 0,
    });
  });

  it.each([
    [
      ['--channel', 'watsapp'],
      "error: option '--channel <name>' argument 'watsapp' is invalid. " +
        'Allowed choices are generic, whatsapp, telegram, messenger, instagram, twilio, vonage.\n',
    ],
    [
      ['--rooms', '0'],
      "error: option '--rooms <n>' argument '0' is invalid. It must be a whole number from 1 to 50000.\n",
    ],
  ])('%j is refused before anything starts', (args, complaint) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [START, ...args], { encoding: 'utf8' });
    expect({ status, stdout, stderr }).toEqual({ status: 1, stdout: '', stderr: complaint });
  });
});
