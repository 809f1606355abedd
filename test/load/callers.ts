/** Loads that autocannon has no word for, by undici: people who think between two messages, and batches. */
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'undici';
import type { Accepted } from './check.ts';
import type { BulkJob, HumansJob, Outcome } from './jobs.ts';
import { LOAD_CHANNEL, messageOf } from './messages.ts';
import type { Sample } from './samples.ts';

const TIMEOUT_MS = 30_000;
/** Longer than anybody thinks. */
const KEPT_ALIVE_MS = 60_000;

class Record {
  readonly samples: Sample[] = [];
  readonly accepted: Accepted[] = [];
  readonly refusals: { [what: string]: number } = {};
  readonly #cpu = process.cpuUsage();
  readonly #startedAt = performance.now();

  sample(sentAt: number, status: number): void {
    const now = performance.now();
    this.samples.push({ atMs: now - this.#startedAt, tookMs: now - sentAt, status });
  }

  refused(what: string): void {
    this.refusals[what] = (this.refusals[what] ?? 0) + 1;
  }

  /** Of the time until now. */
  times(): { readonly tookMs: number; readonly cpuMs: number } {
    const { user, system } = process.cpuUsage(this.#cpu);
    return { tookMs: performance.now() - this.#startedAt, cpuMs: (user + system) / 1_000 };
  }
}

/** A connection and a room each; the times that they think, unless they keep a pace, and how much they write are drawn evenly. */
export async function humans(job: HumansJob, onBegun: () => void): Promise<Outcome> {
  const { urls, key, users, roomPrefix, round, arriveMs, forMs } = job;
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const record = new Record();
  const drawn = ([least, most]: readonly [number, number]): number => least + Math.random() * (most - least);
  const endAt = performance.now() + forMs;

  /** A pace that was missed is kept from the next time on. */
  function thinkMs(cameAt: number): number {
    if (!('paceMs' in job.thinkMs)) return drawn(job.thinkMs);
    const { paceMs } = job.thinkMs;
    return paceMs - ((performance.now() - cameAt) % paceMs);
  }

  async function visit(client: Client, room: string, sentBefore: number, cameAt: number): Promise<number> {
    const count = Math.round(drawn([job.messages[0] - 0.5, job.messages[1] + 0.49]));
    for (let number = 1; number <= count; number++) {
      await delay(thinkMs(cameAt));
      const messageId = `${round}-${sentBefore + number}`;
      const body = JSON.stringify(messageOf(LOAD_CHANNEL, room, messageId));
      const sentAt = performance.now();
      try {
        const response = await client.request({ method: 'POST', path: '/v1/messages', headers, body });
        const answer = (await response.body.json()) as { sequence: number | null; code?: string };
        record.sample(sentAt, response.statusCode);
        if (response.statusCode === 202) record.accepted.push({ room, messageId, sequence: answer.sequence });
        else record.refused(`${response.statusCode} ${answer.code}`);
      } catch (error) {
        record.sample(sentAt, 0);
        record.refused((error as NodeJS.ErrnoException).code ?? (error as Error).message);
      }
    }
    return count;
  }

  onBegun();
  await Promise.all(
    Array.from({ length: users }, async (_, user) => {
      await delay((arriveMs * user) / users);
      const timeouts = { headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS, keepAliveTimeout: KEPT_ALIVE_MS };
      const client = new Client(urls[user % urls.length] as string, timeouts);
      const cameAt = performance.now();
      let sent = 0;
      do sent += await visit(client, `${roomPrefix}${user + 1}`, sent, cameAt);
      while (performance.now() < endAt);
      await client.close();
    }),
  );
  const { samples, accepted, refusals } = record;
  return { samples, accepted, refusals, ...record.times() };
}

interface Batch {
  readonly messages: readonly { readonly room: string; readonly messageId: string }[];
  readonly body: Buffer;
}

interface BatchAnswer {
  readonly results: readonly { readonly sequence?: number | null; readonly error?: { readonly code: string } }[];
}

/** Its bodies are made before the clock starts, and its answers read after it has stopped. */
export async function bulk(job: BulkJob, onBegun: () => void): Promise<Outcome> {
  const { urls, key } = job;
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const lanes = batchesOf(job).map((batches, lane) => {
    const timeouts = { headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS, keepAliveTimeout: KEPT_ALIVE_MS };
    return { batches, client: new Client(urls[lane % urls.length] as string, timeouts) };
  });
  const answers: { readonly batch: Batch; readonly status: number; readonly body: Buffer }[] = [];
  onBegun();
  const record = new Record();
  await Promise.all(
    lanes.map(async ({ batches, client }) => {
      for (const batch of batches) {
        const sentAt = performance.now();
        const request = { method: 'POST', path: '/v1/messages:batch', headers, body: batch.body } as const;
        const { statusCode, body } = await client.request(request);
        const answer = Buffer.from(await body.arrayBuffer());
        record.sample(sentAt, statusCode);
        answers.push({ batch, status: statusCode, body: answer });
      }
    }),
  );
  const times = record.times();
  for (const { batch, status, body } of answers) {
    if (status !== 202) {
      record.refused(`${status} ${(JSON.parse(body.toString()) as { code: string }).code}`);
      continue;
    }
    const { results } = JSON.parse(body.toString()) as BatchAnswer;
    results.forEach(({ sequence, error }, index) => {
      if (sequence !== undefined)
        record.accepted.push({ ...(batch.messages[index] as Batch['messages'][0]), sequence });
      else record.refused(error?.code ?? 'an item without a result');
    });
  }
  await Promise.all(lanes.map(({ client }) => client.close()));
  const { samples, accepted, refusals } = record;
  return { samples, accepted, refusals, ...times };
}

/** For each lane those that it sends one after the other; a room belongs to one lane. */
function batchesOf({ messages, batch: size, rooms, inFlight, roomPrefix, round }: BulkJob): Batch[][] {
  const roomsOfLane = Math.max(1, Math.floor(rooms / inFlight));
  const lanes = Array.from({ length: inFlight }, (): Batch[] => []);
  for (let number = 0; number * size < messages; number++) {
    const lane = number % inFlight;
    const items = Array.from({ length: Math.min(size, messages - number * size) }, (_, at) => {
      const index = Math.floor(number / inFlight) * size + at;
      const room = `${roomPrefix}${lane}-${index % roomsOfLane}`;
      return { room, messageId: `${round}-${index}` };
    });
    const body = { messages: items.map(({ room, messageId }) => messageOf(LOAD_CHANNEL, room, messageId)) };
    lanes[lane]?.push({ messages: items, body: Buffer.from(JSON.stringify(body)) });
  }
  return lanes;
}
