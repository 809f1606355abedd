import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const COMMAND = fileURLToPath(new URL('../../src/cli/roomline.mjs', import.meta.url));
const PACKAGE = new URL('../../package.json', import.meta.url);

async function roomline(args: string[], env: NodeJS.ProcessEnv) {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('ROOMLINE_'));
  const options = { env: { ...Object.fromEntries(inherited), ...env } };
  try {
    return { code: 0, ...(await promisify(execFile)(process.execPath, [COMMAND, ...args], options)) };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, stdout, stderr };
  }
}

describe('the roomline command', () => {
  it('tells the version of the package', async () => {
    const { version } = JSON.parse(readFileSync(PACKAGE, 'utf8'));
    expect(await roomline(['--version'], {})).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('checks the configuration of its environment, whatever it says of the client', async () => {
    const env = {
      ROOMLINE_URL: 'http://127.0.0.1:1',
      ROOMLINE_KEY: 'rl_secret',
      ROOMLINE_POSTGRES_URL: 'postgres://roomline:pw@127.0.0.1:5432/roomline',
      ROOMLINE_REFERENCE_SECRET: 'x'.repeat(32),
    };
    expect(await roomline(['config', 'check'], env)).toMatchObject({ code: 0, stderr: '' });
    const wrong = await roomline(['config', 'check'], { ...env, ROOMLINE_HTTP_PORT: 'x' });
    expect(wrong).toMatchObject({ code: 1, stdout: '' });
    expect(wrong.stderr).toContain('ROOMLINE_HTTP_PORT');
  });
});
