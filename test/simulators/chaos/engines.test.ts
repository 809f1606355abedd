import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Engine } from '../../../simulators/chaos/engines.ts';
import { freePort } from '../../../simulators/free-port.ts';
import { EngineProcess } from '../../../simulators/rig/engine.ts';
import { engineConfig } from '../../../simulators/rig/engine-config.ts';
import { Secrets } from '../../../simulators/rig/secrets.ts';

/** An engine whose Postgres is not there, and what it told. */
async function engineOf(wrong: Readonly<Record<string, object>>) {
  const directory = mkdtempSync(join(tmpdir(), 'roomline-engines-'));
  for (const folder of ['logs', 'processes']) mkdirSync(join(directory, folder));
  const port = await freePort();
  const nobody = () => ({ host: '127.0.0.1', port });
  const end = new AbortController();
  const told: string[] = [];
  const tell = (what: string) => (): void => void told.push(what);
  const engine = await Engine.create('engine', {
    parts: { postgres: nobody, pubsub: nobody, platform: nobody },
    signal: end.signal,
    events: {
      onTakenOver: tell('taken over'),
      onLivenessViolated: tell('left waiting'),
      onProcessFailed: tell('failed'),
      onEndedByItself: tell('ended'),
      onRefused: (_engine, error) => void told.push(`refused: ${error.message}`),
      onFailedStart: () => {
        told.push('not started');
        if (told.filter((what) => what === 'not started').length === 2) end.abort();
      },
    },
  });
  onTestFinished(async () => {
    end.abort();
    await engine.kill();
    await engine.links.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const config = engineConfig(
    {
      httpPort: 0,
      postgresUrl: `postgres://roomline:secret@127.0.0.1:${port}/roomline`,
      pubsubAddress: `127.0.0.1:${port}`,
      platformUrl: `http://127.0.0.1:${port}`,
      channels: { main: {} },
      settings: wrong,
    },
    new Secrets(directory),
  );
  engine.prepare((_engine, onLine) => new EngineProcess({ directory, name: 'engine', config, apiKey: 'none', onLine }));
  return { engine, told };
}

describe('an engine that does not start', () => {
  it('is not tried again where its configuration is refused: what it said ends the run', async () => {
    const { engine, told } = await engineOf({ ownership: { leaseMs: 1 } });
    await expect(engine.start()).rejects.toThrow(/wrong in the configuration[\s\S]*ownership\.leaseMs/);
    expect(told).toEqual([expect.stringMatching(/^refused: [\s\S]*ownership\.leaseMs/)]);
  });

  it('is tried again where something is not there yet', async () => {
    const { engine, told } = await engineOf({});
    await engine.start();
    expect(told).toEqual(['failed', 'not started', 'failed', 'not started']);
  });
});

describe('an engine that runs', () => {
  it('is not started a second time, one that is being ended is', async () => {
    const { engine } = await engineOf({});
    let starts = 0;
    const child = { running: true, stopping: false, ended: new Promise<never>(() => undefined) };
    const process = {
      child: null as typeof child | null,
      async start() {
        starts++;
        this.child = child;
      },
      kill9: async () => undefined,
    };
    engine.prepare(() => process as unknown as EngineProcess);
    await engine.start();
    await engine.start();
    expect(starts).toBe(1);
    child.stopping = true;
    await engine.start();
    expect(starts).toBe(2);
  });
});
