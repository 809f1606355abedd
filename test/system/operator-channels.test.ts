/**
 * Channels that an operator configures while everything runs: two processes, one that takes what is published and what
 * platforms tell, one that sends. What is said to the one is in force in the other after a poll.
 */
import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../simulators/free-port.ts';
import { DATABASE } from '../../simulators/rig/database.ts';
import { EngineProcess } from '../../simulators/rig/engine.ts';
import { engineConfig } from '../../simulators/rig/engine-config.ts';
import { type Rig, startRig } from '../../simulators/rig/rig.ts';
import { Secrets } from '../../simulators/rig/secrets.ts';
import { eventually } from '../support/events.ts';
import { SETTINGS, TEST_TIMEOUT_MS } from '../support/system.ts';

const POLL_MS = 300;
const CHANNEL = 'added';
const URL_OF_CHANNEL = `/v1/ops/channels/default/${CHANNEL}`;

describe('A channel by the API', { timeout: TEST_TIMEOUT_MS }, () => {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'roomline-operator-channels-')));
  // As root, Postgres runs under another account, which must be able to enter.
  chmodSync(directory, 0o755);
  const secrets = new Secrets(directory);
  let rig: Rig;
  let front: EngineProcess;

  beforeAll(async () => {
    const frontPort = await freePort();
    const url = `http://127.0.0.1:${frontPort}/v1/webhooks/default/${CHANNEL}`;
    const channelSettings = { pollEveryMs: POLL_MS, secretDirectory: join(directory, 'secrets') };
    rig = await startRig({
      directory,
      channels: {},
      settings: { ...SETTINGS, channelSettings, node: { name: 'sender', roles: ['worker', 'api'] } },
      platform: [
        {
          channels: {
            [CHANNEL]: { token: secrets.read('token'), webhook: { urls: [url], secret: secrets.read('hook-1') } },
          },
        },
      ],
    });
    front = new EngineProcess({
      directory,
      name: 'front',
      apiKey: rig.apiKey,
      config: engineConfig(
        {
          httpPort: frontPort,
          postgresUrl: rig.postgres.url(DATABASE),
          pubsubAddress: rig.pubsub.address,
          platformUrl: rig.platform.url,
          channels: {},
          settings: { ...SETTINGS, channelSettings, node: { name: 'front', roles: ['api', 'webhook'] } },
        },
        secrets,
      ),
    });
    await front.start();
  });

  afterAll(async () => {
    await front?.stop();
    await rig?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  async function call(engine: EngineProcess, method: string, path: string, body?: object) {
    const response = await fetch(`${engine.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${rig.apiKey}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    // biome-ignore lint/suspicious/noExplicitAny: whatever the service answered, for assertions
    return { status: response.status, body: (await response.json()) as any };
  }

  const settingsOf = (hooks: readonly string[], wishes: object = {}) => ({
    account: 'acme',
    platform: 'generic',
    baseUrl: rig.platform.url,
    accessToken: { file: secrets.file('token') },
    webhookSecrets: hooks.map((name) => ({ file: secrets.file(name) })),
    ackTimeoutMs: 30_000,
    ...wishes,
  });
  const message = (room: string, index: number) => {
    const key = `${room}/${index}`;
    return { channel: CHANNEL, room, messageId: key, content: { key, run: room, index, text: `Message ${index}` } };
  };
  const publish = (engine: EngineProcess, room: string, index: number) =>
    call(engine, 'POST', '/v1/messages', message(room, index));
  const settled = (status: string) =>
    eventually(
      `${status} is settled`,
      async () => {
        const { body } = await call(front, 'GET', status);
        return body.state === 'settled' ? body : null;
      },
      { deadlineMs: 60_000, everyMs: 50 },
    );

  test('that is put at one process is published to there at once, and the other sends it', async () => {
    expect(await publish(front, 'r1', 1)).toMatchObject({ status: 422, body: { code: 'channel_unknown' } });
    const put = await call(front, 'PUT', URL_OF_CHANNEL, settingsOf(['hook-1']));
    expect(put).toMatchObject({ status: 201, body: { state: 'open', revision: 1, updatedBy: 'rig' } });
    const published = [];
    for (const index of [1, 2, 3]) published.push(await publish(front, 'r1', index));
    for (const { status, body } of published) {
      expect(status).toBe(202);
      expect(await settled(body.status)).toMatchObject({ outcome: 'acked', order: 'proven' });
    }
    const sender = await call(rig.engine, 'GET', URL_OF_CHANNEL);
    expect(sender.body).toMatchObject({ source: 'api', revision: 1, faults: [], state: 'open' });
  });

  test('goes on while its webhook secret is replaced: both count, then the new one alone', async () => {
    // At the sender, which takes no webhooks: the other process follows.
    const both = await call(rig.engine, 'PUT', URL_OF_CHANNEL, settingsOf(['hook-2', 'hook-1']));
    expect(both).toMatchObject({ status: 200 });
    const inForce = async (revision: number) =>
      eventually(
        'the other process has it',
        async () => {
          const { body } = await call(front, 'GET', URL_OF_CHANNEL);
          return body.revision === revision;
        },
        { deadlineMs: 30_000, everyMs: 50 },
      );
    await inForce(both.body.revision);
    const before = await publish(front, 'r2', 1);
    expect(await settled(before.body.status)).toMatchObject({ outcome: 'acked' });
    await rig.platform.change({ channels: { [CHANNEL]: { webhook: { secret: secrets.read('hook-2') } } } });
    const after = await publish(front, 'r2', 2);
    expect(await settled(after.body.status)).toMatchObject({ outcome: 'acked' });
    const alone = await call(rig.engine, 'PUT', URL_OF_CHANNEL, settingsOf(['hook-2'], { ackTimeoutMs: 6_000 }));
    await inForce(alone.body.revision);
    const last = await publish(front, 'r2', 3);
    expect(await settled(last.body.status)).toMatchObject({ outcome: 'acked' });
    await rig.platform.change({ channels: { [CHANNEL]: { webhook: { secret: secrets.read('hook-1') } } } });
    const unheard = await publish(front, 'r2', 4);
    expect(await settled(unheard.body.status)).toMatchObject({ outcome: 'assumed' });
    await rig.platform.change({ channels: { [CHANNEL]: { webhook: { secret: secrets.read('hook-2') } } } });
  });

  test('that is deleted keeps what waits, and sends it when it is there again', async () => {
    await rig.platform.scheduleOutage({ kind: 'refuse' });
    const waiting = [];
    for (const index of [1, 2]) waiting.push(await publish(front, 'r3', index));
    expect(await call(front, 'DELETE', URL_OF_CHANNEL)).toMatchObject({
      status: 409,
      body: { code: 'channel_in_use' },
    });
    const forced = await call(front, 'DELETE', `${URL_OF_CHANNEL}?force=true`);
    expect(forced).toMatchObject({ status: 200, body: { waitingRooms: 1 } });
    expect(await publish(front, 'r3', 3)).toMatchObject({ status: 422, body: { code: 'channel_unknown' } });
    expect((await call(rig.engine, 'GET', URL_OF_CHANNEL)).status).toBe(404);
    const room = await eventually('the room says why it waits', async () => {
      const { body } = await call(rig.engine, 'GET', `/v1/rooms/${CHANNEL}/r3`);
      return body.explanation.includes('channel_not_configured') ? body : null;
    });
    expect(room.counts).toEqual({ accepted: 2, parked: 0, settled: 0, waiting: 2 });
    await rig.platform.endOutages();
    expect(await call(front, 'PUT', URL_OF_CHANNEL, settingsOf(['hook-2']))).toMatchObject({ status: 201 });
    for (const { body } of waiting)
      expect(await settled(body.status)).toMatchObject({ outcome: 'acked', order: 'proven' });
    const { body } = await call(front, 'GET', `/v1/ops/audit?subject=channel:default/${CHANNEL}`);
    expect(body.entries.slice(0, 2)).toMatchObject([
      { action: 'channel.put', actor: 'rig', detail: { before: null } },
      { action: 'channel.delete', detail: { after: null, force: true, waitingRooms: 1 } },
    ]);
    expect(JSON.stringify(body)).not.toContain(secrets.read('token'));
  });
});
