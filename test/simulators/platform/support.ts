import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Agent, request } from 'undici';
import { onTestFinished } from 'vitest';
import type { GroundTruthRecord } from '../../../simulators/platform/ground-truth.ts';
import { createFakePlatform, type FakePlatformOptions } from '../../../simulators/platform/platform.ts';
import { instant, type SettingsPatch } from '../../../simulators/platform/settings.ts';
import { CERTIFICATE_FILE } from '../../../simulators/platform/tls.ts';

export const SECRET = 'a test secret';

export interface Call {
  path: string;
  headers: IncomingHttpHeaders;
  raw: string;
  statuses: Record<string, unknown>[];
  signed: boolean;
  at: number;
}

type Given = number | { status: number; retryAfterS: number };

/** A webhook receiver that lets tests wait for calls and choose the answers. */
export const startReceiver = async (answer: (call: Call, number: number) => Given | Promise<Given> = () => 200) => {
  const calls: Call[] = [];
  const waiters = new Set<() => void>();
  let open = 0;
  const seen = { mostOpen: 0 };
  const server = createServer((incoming, response) => {
    open++;
    seen.mostOpen = Math.max(seen.mostOpen, open);
    let raw = '';
    incoming.on('data', (chunk) => {
      raw += chunk;
    });
    incoming.on('end', async () => {
      const { headers } = incoming;
      const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${raw}`;
      const expected = `v1,${createHmac('sha256', SECRET).update(signed).digest('base64')}`;
      const call: Call = {
        path: incoming.url ?? '',
        headers,
        raw,
        statuses: JSON.parse(raw).statuses,
        signed: String(headers['webhook-signature']).split(' ').includes(expected),
        at: performance.now(),
      };
      calls.push(call);
      for (const check of waiters) check();
      const given = await answer(call, calls.length);
      open--;
      if (typeof given === 'number') response.writeHead(given).end();
      else response.writeHead(given.status, { 'retry-after': String(given.retryAfterS) }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/webhooks/default/main`,
    calls,
    seen,
    statuses: () => calls.flatMap(({ statuses }) => statuses),
    /** Resolves once the calls so far satisfy the condition. */
    until: (condition: (calls: Call[]) => boolean) =>
      new Promise<void>((resolve) => {
        const check = () => {
          if (!condition(calls)) return;
          waiters.delete(check);
          resolve();
        };
        waiters.add(check);
        check();
      }),
  };
};

/** A started platform, without delays unless told otherwise, that ends with the test. */
export const startPlatform = async (settings: SettingsPatch = {}, options: FakePlatformOptions = {}) => {
  const platform = createFakePlatform({ seed: 7, settings: [instant, settings], ...options });
  await platform.start();
  onTestFinished(() => platform.stop());
  return platform;
};

export type Platform = Awaited<ReturnType<typeof startPlatform>>;

export interface Send {
  reference?: string;
  to?: string;
  content?: unknown;
  attempt?: number;
  token?: string;
  headers?: Record<string, string | undefined>;
  body?: string | Buffer;
}

/** The answer, or the code of the error by which the request failed. */
export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  raw: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers of all kinds are looked at in tests
  body: any;
  error?: string;
  tookMs: number;
}

let lastReference = 0;
export const newReference = (): string => `ref${++lastReference}`;

export const sendTo = (platform: { url: string }) => {
  const agent = new Agent({ connections: 64, connect: { ca: readFileSync(CERTIFICATE_FILE) } });
  onTestFinished(() => agent.destroy());
  return async (send: Send = {}, timeoutMs = 5_000): Promise<Answer> => {
    const reference = send.reference ?? newReference();
    const headers: Record<string, string | undefined> = {
      authorization: `Bearer ${send.token ?? 'any'}`,
      'content-type': 'application/json',
      'idempotency-key': reference,
      'roomline-attempt': String(send.attempt ?? 1),
      'roomline-worker': 'worker-1',
      'roomline-generation': '1',
      ...send.headers,
    };
    const content = send.content ?? { text: 'Hello', key: reference };
    const body = send.body ?? JSON.stringify({ reference, to: send.to ?? '+15550100001', content });
    const startedAt = performance.now();
    const none = { status: 0, headers: {}, raw: '', body: undefined };
    try {
      const answer = await request(`${platform.url}/v1/messages`, {
        method: 'POST',
        headers: Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)),
        body,
        dispatcher: agent,
        signal: AbortSignal.timeout(timeoutMs),
      });
      const raw = await answer.body.text();
      const tookMs = performance.now() - startedAt;
      let parsed: unknown;
      try {
        parsed = JSON.parse(raw);
      } catch {
        parsed = undefined;
      }
      return { status: answer.statusCode, headers: answer.headers, raw, body: parsed, tookMs };
    } catch (error) {
      const { code, name } = error as Error & { code?: string | number };
      const tookMs = performance.now() - startedAt;
      return { ...none, error: typeof code === 'string' ? code : name, tookMs };
    }
  };
};

export const recordsOf = <T extends GroundTruthRecord['t']>(platform: Platform, t: T) =>
  [...platform.groundTruth.records()].filter(
    (record): record is Extract<GroundTruthRecord, { t: T }> => record.t === t,
  );

/** Resolves with the first record that satisfies the condition, from now on. */
export const nextRecord = (platform: Platform, condition: (record: GroundTruthRecord) => boolean) =>
  new Promise<GroundTruthRecord>((resolve) => {
    const stop = platform.groundTruth.onRecord((record) => {
      if (!condition(record)) return;
      stop();
      resolve(record);
    });
  });
