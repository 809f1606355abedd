/** Connections that are never idle, by autocannon: how fast single publishes are answered by so many at a time. */
import autocannon from 'autocannon';
import type { Accepted } from './check.ts';
import type { ConnectionsJob, Outcome } from './jobs.ts';
import { LOAD_CHANNEL, messageOf } from './messages.ts';
import type { Sample } from './samples.ts';

/** A request without an answer for so long counts as failed. */
const TIMEOUT_S = 30;
/** How often autocannon looks whether its time is over. */
const LOOK_EVERY_MS = 100;

/** Each connection has a room of its own, so that the order of its requests is that of the room. */
export async function connections(job: ConnectionsJob, onBegun: () => void): Promise<Outcome> {
  const { urls, key, roomPrefix, round, groups, isEmptyRoute } = job;
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const samples: Sample[] = [];
  const accepted: Accepted[] = [];
  const refusals: Record<string, number> = {};
  let opened = 0;
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  const failed = (what: string): void => {
    refusals[what] = (refusals[what] ?? 0) + 1;
    samples.push({ atMs: performance.now() - startedAt, tookMs: Number.NaN, status: 0 });
  };

  function setUp(client: autocannon.Client): void {
    const room = `${roomPrefix}${++opened}`;
    let sent = 0;
    client.setRequests([
      {
        method: 'POST',
        path: '/v1/messages',
        headers,
        setupRequest: (request) => {
          sent++;
          return { ...request, body: JSON.stringify(messageOf(LOAD_CHANNEL, room, `${round}-${sent}`)) };
        },
        onResponse: (status, body) => {
          if (isEmptyRoute) return;
          if (status !== 202) {
            const { code } = JSON.parse(body) as { code: string };
            refusals[`${status} ${code}`] = (refusals[`${status} ${code}`] ?? 0) + 1;
            return;
          }
          const { sequence } = JSON.parse(body) as { sequence: number | null };
          accepted.push({ room, messageId: `${round}-${sent}`, sequence });
        },
      },
    ]);
  }

  async function drive(url: string, count: number, fromMs: number, forMs: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, fromMs));
    const options = { url, connections: count, duration: forMs / 1_000, timeout: TIMEOUT_S, setupClient: setUp };
    await new Promise<void>((resolve, reject) => {
      const instance = autocannon({ ...options, sampleInt: LOOK_EVERY_MS } as autocannon.Options, (error) => {
        if (error) reject(error);
        else resolve();
      });
      instance.on('response', (_client, status, _bytes, tookMs) => {
        samples.push({ atMs: performance.now() - startedAt, tookMs, status });
      });
      instance.on('reqError', (error: NodeJS.ErrnoException) => failed(error.code ?? error.message));
    });
  }

  onBegun();
  await Promise.all(
    groups.flatMap(({ connections: count, fromMs, forMs }) =>
      urls.map((url, index) => {
        const share = Math.floor(count / urls.length) + (index < count % urls.length ? 1 : 0);
        return share === 0 ? undefined : drive(url, share, fromMs, forMs);
      }),
    ),
  );
  const { user, system } = process.cpuUsage(cpu);
  return { samples, accepted, refusals, tookMs: performance.now() - startedAt, cpuMs: (user + system) / 1_000 };
}
