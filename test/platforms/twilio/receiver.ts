import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import type { PlatformChannel, StatusItem, WebhookCall } from '../../../src/engine/ports.ts';

export interface ReceivedCall {
  readonly call: WebhookCall;
  readonly verified: boolean;
  readonly items: readonly StatusItem[];
  readonly at: number;
}

/**
 * Receives webhook calls as Roomline does: verifies, then reads.
 * @param answer the HTTP status for a verified call, by its number from 1
 */
export async function startReceiver(
  channel: () => PlatformChannel,
  answer: (number: number) => number = () => 200,
  wallClockMs: () => number = Date.now,
) {
  const calls: ReceivedCall[] = [];
  const server = createServer(async (incoming: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const call: WebhookCall = {
      method: 'POST',
      target: incoming.url ?? '',
      headers: incoming.headers,
      raw: Buffer.concat(chunks),
    };
    const verified = channel().verify(call, wallClockMs()).kind === 'verified';
    calls.push({ call, verified, items: verified ? channel().readStatuses(call) : [], at: performance.now() });
    response.writeHead(verified ? answer(calls.filter((one) => one.verified).length) : 401).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/webhooks/default/main`,
    calls,
    items: () => calls.flatMap(({ items }) => items),
  };
}
