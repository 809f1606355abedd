import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { CASES, SECRET, startFake } from '../platforms/checks/support.ts';

const COMMAND = fileURLToPath(new URL('../../src/cli/roomline.mjs', import.meta.url));
const TOKENS = {
  BOT_TOKEN: CASES.telegram.token,
  GATEWAY_TOKEN: CASES.generic.token,
  WHATSAPP_TOKEN: 'EAAJsecretToken',
};
const WEBHOOK_SECRET = 'webhook-secret-of-ours-0123456789';
const VERIFY_TOKEN = 'verify-token-of-ours';

/** The command as a process of its own; no secret may stand in what it prints. */
async function channels(args: string[], config: object, env: NodeJS.ProcessEnv = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'roomline-channels-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'config.json');
  writeFileSync(file, JSON.stringify(config));
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('ROOMLINE_'));
  const options = { env: { ...Object.fromEntries(inherited), ...TOKENS, WEBHOOK_SECRET, ...env } };
  const command = [COMMAND, 'channels', ...args, '--config', file];
  const { code, stdout, stderr } = await promisify(execFile)(process.execPath, command, options).then(
    (printed) => ({ code: 0, ...printed }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );
  const secrets = [
    ...Object.values(TOKENS),
    WEBHOOK_SECRET,
    VERIFY_TOKEN,
    SECRET,
    TOKENS.BOT_TOKEN.split(':')[1] ?? '',
  ];
  expect(secrets.filter((secret) => `${stdout}${stderr}`.includes(secret))).toEqual([]);
  return { code, stdout, stderr };
}

const common = { account: 'ours', webhookSecrets: [{ env: 'WEBHOOK_SECRET' }] };
const bot = (baseUrl: string) => ({ ...common, platform: 'telegram', baseUrl, accessToken: { env: 'BOT_TOKEN' } });
const gateway = (baseUrl: string) => ({
  ...common,
  platform: 'generic',
  baseUrl,
  accessToken: { env: 'GATEWAY_TOKEN' },
});
/** Nobody listens there. */
const NOWHERE = 'http://127.0.0.1:9';

interface Printed {
  readonly outcome: string;
  readonly channels: {
    readonly channel: string;
    readonly outcome: string;
    readonly findings: { readonly name: string; readonly outcome: string; readonly code: string }[];
  }[];
}

function read(stdout: string): Printed {
  return JSON.parse(stdout) as Printed;
}

function codesOf({ channels: [first] }: Printed): string[] {
  return (first?.findings ?? []).map(({ name, code }) => `${name} ${code}`);
}

describe('roomline channels check', () => {
  it('needs neither database nor reference secret, and ends with 0 where nothing has failed', async () => {
    const platform = await startFake(CASES.telegram);
    const { code, stdout, stderr } = await channels(['check'], {
      http: { publicUrl: 'https://roomline.example' },
      channels: { bot: bot(platform.url) },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^default\/bot \(telegram\): WARNING\n/);
    expect(stdout).toMatch(/^ {2}ok +token +Telegram accepts accessToken\.$/m);
    expect(stdout).toMatch(/^ {2}WARNING +webhook_url +Updates go to .* \[webhook_elsewhere\]$/m);
    expect(stdout).toMatch(/^ {2}by hand +webhook_secret +/m);
    expect(stdout).toContain('Nothing was sent.');
  });

  it('ends with 1 where one has failed, and tells programs in JSON', async () => {
    const platform = await startFake(CASES.telegram);
    const config = { channels: { bot: bot(platform.url), gateway: gateway(NOWHERE) } };
    const { code, stdout, stderr } = await channels(['check', '--json'], config);
    expect({ code, stderr }).toEqual({ code: 1, stderr: '1 of 2 channels failed.\n' });
    const printed = read(stdout);
    expect(printed).toMatchObject({ outcome: 'failed', channels: [{ outcome: 'warning' }, { outcome: 'failed' }] });
    expect(printed.channels[1]).toMatchObject({ tenant: 'default', channel: 'gateway', platform: 'generic' });
    expect(printed.channels[1]?.findings.at(-1)).toMatchObject({ name: 'platform', code: 'connect_refused' });
  });

  it.each(['gateway', 'default/gateway'])('checks the one named %s', async (name) => {
    const platform = await startFake(CASES.generic);
    const config = { channels: { bot: bot(NOWHERE), gateway: gateway(platform.url) } };
    const { code, stdout } = await channels(['check', name, '--json'], config);
    expect(code).toBe(0);
    expect(read(stdout).channels.map(({ channel }) => channel)).toEqual(['gateway']);
  });

  it('gives up in the time that it was given', async () => {
    const platform = await startFake(CASES.generic);
    platform.control.scheduleOutage({ kind: 'black_hole' });
    const config = { channels: { gateway: gateway(platform.url) } };
    const { code, stdout } = await channels(['check', '--json', '--timeout-ms', '200'], config);
    expect(code).toBe(1);
    expect(codesOf(read(stdout))).toContain('platform timeout');
  });

  it('finds what the settings themselves show', async () => {
    const number = {
      ...common,
      platform: 'whatsapp',
      baseUrl: NOWHERE,
      accessToken: { env: 'WHATSAPP_TOKEN' },
      webhookSecrets: [{ env: 'WEBHOOK_SECRET' }, { env: 'WEBHOOK_SECRET' }],
      whatsapp: { phoneNumberId: '106540352242922' },
    };
    const config = {
      http: { publicUrl: 'http://127.0.0.1:8080' },
      postgres: { historyRetentionDays: 10 },
      channels: { number },
    };
    expect(codesOf(read((await channels(['check', '--json'], config)).stdout))).toEqual([
      'public_url public_url_loopback',
      'webhook_secrets secret_repeated',
      'verify_token verify_token_missing',
      'ack_level ok',
      'retention retention_short',
      'settings ok',
      'platform connect_refused',
    ]);
    const better = { ...number, whatsapp: { ...number.whatsapp, verifyToken: VERIFY_TOKEN } };
    const other = { channels: { number: { ...better, webhookSecrets: common.webhookSecrets } } };
    expect(codesOf(read((await channels(['check', '--json'], other)).stdout)).slice(0, 5)).toEqual([
      'public_url public_url_missing',
      'webhook_secrets ok',
      'verify_token ok',
      'ack_level ok',
      'retention ok',
    ]);
  });

  it('finds an ack level that the platform never tells', async () => {
    const platform = await startFake(CASES.telegram);
    const config = { channels: { bot: { ...bot(platform.url), unlockedBy: 'delivered' } } };
    const { code, stdout } = await channels(['check', '--json'], config);
    expect(code).toBe(1);
    expect(codesOf(read(stdout))).toContain('ack_level ack_level_never_told');
  });

  it('finds secrets that are not there, and everything else that is wrong in the file', async () => {
    const { code, stdout, stderr } = await channels(['check'], {
      channels: { bot: { ...bot(NOWHERE), accessToken: { env: 'NOBODY_SET_THIS' }, minGapMs: -1 } },
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('channels.bot.accessToken');
    expect(stderr).toContain('channels.bot.minGapMs');
    expect(stderr).toMatch(/^2 wrong in the configuration\n/);
  });

  it('masks what a platform repeats of a secret', async () => {
    const account = { ...CASES.messenger, token: TOKENS.WHATSAPP_TOKEN };
    const platform = await startFake(account, { about: { node: { name: `Page ${TOKENS.WHATSAPP_TOKEN}` } } });
    const page = {
      ...common,
      platform: 'messenger',
      baseUrl: platform.url,
      accessToken: { env: 'WHATSAPP_TOKEN' },
      messenger: { pageId: '104000000000001' },
    };
    expect((await channels(['check'], { channels: { page } })).stdout).toContain('(Page [secret])');
  });

  it.each([
    [['check', 'nobody'], 1, 'There is no such channel. Configured: default/bot.'],
    [['check', '--timeout-ms', '0'], 1, '1 to 600000.'],
    [['check', '--timeout-ms', 'soon'], 1, '1 to 600000.'],
  ])('explains what is wrong with %j', async (args, code, words) => {
    const printed = await channels(args, { channels: { bot: bot(NOWHERE) } });
    expect(printed).toMatchObject({ code, stdout: '' });
    expect(printed.stderr).toContain(words);
  });

  it('has nothing to say without channels', async () => {
    expect(await channels(['check'], {})).toMatchObject({ code: 1, stderr: 'No channels are configured.\n' });
  });
});

describe('roomline channels list', () => {
  it('lists them for people and for programs', async () => {
    const config = { channels: { bot: bot(NOWHERE), gateway: gateway('http://127.0.0.1:8090') } };
    const { code, stdout } = await channels(['list'], config);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout:
        'default/bot      telegram  ours  http://127.0.0.1:9\ndefault/gateway  generic   ours  http://127.0.0.1:8090\n',
    });
    const listed = JSON.parse((await channels(['list', '--json'], config)).stdout);
    expect(listed.channels[0]).toEqual({
      tenant: 'default',
      channel: 'bot',
      platform: 'telegram',
      account: 'ours',
      baseUrl: NOWHERE,
    });
  });
});
