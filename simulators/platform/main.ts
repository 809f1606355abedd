import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { OutagePlan } from './outages.ts';
import { createFakePlatform, type FakePlatformOptions } from './platform.ts';
import { isProfileName, PROFILES } from './profiles.ts';
import { instant, SettingsError, type SettingsPatch } from './settings.ts';

/** The fake platform as a process of its own: prints one JSON line with its addresses, and ends on SIGTERM or SIGINT. */

const USAGE = `node simulators/platform/main.ts [options]
  --host HOST             default 127.0.0.1
  --port PORT             default: any free port
  --control-port PORT     control API that outages do not touch; default: any free port
  --tls                   serve https, with the test certificate in simulators/platform/tls
  --profile NAME          whose interface it has: ${Object.keys(PROFILES).join(', ')}; default generic
  --seed SEED             default 1
  --log FILE              append the ground truth here as NDJSON
  --log-only              do not keep the ground truth in memory as well
  --webhook-url URL       where the channel "default" sends its statuses; may be repeated (replicas)
  --webhook-secret SECRET signs them
  --token TOKEN           the only token that the channel "default" accepts
  --instant               no delays (default: lognormal ones)
  --config FILE           JSON: {"settings": {…}, "outages": [{…}]}`;

const readOptions = (): { options: FakePlatformOptions; outages: OutagePlan[] } | undefined => {
  const { values } = parseArgs({
    options: {
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '0' },
      'control-port': { type: 'string', default: '0' },
      tls: { type: 'boolean', default: false },
      profile: { type: 'string', default: 'generic' },
      seed: { type: 'string', default: '1' },
      log: { type: 'string' },
      'log-only': { type: 'boolean', default: false },
      'webhook-url': { type: 'string', multiple: true },
      'webhook-secret': { type: 'string' },
      token: { type: 'string' },
      instant: { type: 'boolean', default: false },
      config: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const urls = values['webhook-url'];
  const secret = values['webhook-secret'];
  if ((urls === undefined) !== (secret === undefined)) {
    throw new SettingsError('--webhook-url and --webhook-secret belong together');
  }
  if (!isProfileName(values.profile)) throw new SettingsError(`there is no profile "${values.profile}"`);
  if (values['log-only'] && values.log === undefined) throw new SettingsError('--log-only needs --log');
  const config = values.config === undefined ? {} : (JSON.parse(readFileSync(values.config, 'utf8')) as ConfigFile);
  const unknown = Object.keys(config).find((name) => name !== 'settings' && name !== 'outages');
  if (unknown !== undefined) throw new SettingsError(`${values.config}: unknown entry "${unknown}"`);
  const byFlags: SettingsPatch = {
    channels: {
      default: {
        ...(values.token === undefined ? {} : { token: values.token }),
        ...(urls && secret !== undefined ? { webhook: { urls, secret } } : {}),
      },
    },
  };
  const options: FakePlatformOptions = {
    host: values.host,
    port: portOf(values.port),
    controlPort: portOf(values['control-port']),
    tls: values.tls,
    profile: PROFILES[values.profile],
    seed: values.seed,
    keepInMemory: !values['log-only'],
    settings: [...(values.instant ? [instant] : []), config.settings ?? {}, byFlags],
    ...(values.log === undefined ? {} : { logFile: values.log }),
  };
  return { options, outages: config.outages ?? [] };
};

interface ConfigFile {
  settings?: SettingsPatch;
  outages?: OutagePlan[];
}

const portOf = (text: string): number => {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new SettingsError(`"${text}" is not a port`);
  return port;
};

const run = async (): Promise<void> => {
  const parsed = readOptions();
  if (parsed === undefined) {
    console.log(USAGE);
    return;
  }
  const platform = createFakePlatform(parsed.options);
  await platform.start();
  try {
    for (const outage of parsed.outages) platform.control.scheduleOutage(outage);
  } catch (error) {
    await platform.stop();
    throw error;
  }

  const stop = async () => {
    await platform.stop();
    if (process.connected) process.disconnect();
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // A parent that forked this process and died takes it along.
  process.on('disconnect', stop);
  const { url, controlUrl } = platform;
  console.log(JSON.stringify({ url, controlUrl, pid: process.pid }));
};

run().catch((error: Error & { code?: string }) => {
  const plain = error instanceof SettingsError || error instanceof SyntaxError || error.code !== undefined;
  console.error(plain ? error.message : error);
  process.exitCode = 1;
});
