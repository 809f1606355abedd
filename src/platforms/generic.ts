/** The generic HTTP platform of docs/generic-http-platform.md: any gateway that speaks its small protocol. */
import type { LookupResult, PlatformChannel, SendRequest, SendResult } from '../engine/ports.ts';
import { bearerOf } from './bearer.ts';
import { classifySend, readLookup } from './generic/answer.ts';
import { readStatuses } from './generic/statuses.ts';
import { HttpClient } from './http-client.ts';
import type { PlatformChannelConfig, PlatformDependencies } from './platform.ts';
import { createVerifier } from './standard-webhooks.ts';

const MAX_ANSWER_BYTES = 65_536;
/** Lookups have connections of their own, so that they never keep a send waiting. */
const LOOKUP_CONNECTIONS = 8;

export function createGenericChannel(
  config: PlatformChannelConfig,
  dependencies: PlatformDependencies,
): PlatformChannel {
  const { origin, pathname } = new URL(config.baseUrl);
  const path = `${pathname.replace(/\/+$/, '')}/v1/messages`;
  const authorization = bearerOf(config.accessToken.reveal());
  const open = (connections: number) =>
    new HttpClient({
      origin,
      connections,
      connectTimeoutMs: config.sendTimeoutMs,
      maxAnswerBytes: MAX_ANSWER_BYTES,
    });
  const sends = open(config.maxConcurrentSends);
  const verify = createVerifier(config.webhookSecrets.map((secret) => secret.reveal()));
  const lookups = config.lookup ? open(LOOKUP_CONNECTIONS) : null;

  async function send(request: SendRequest): Promise<SendResult> {
    const headers = {
      authorization,
      'content-type': 'application/json',
      'idempotency-key': request.reference,
      'roomline-attempt': String(request.attempt),
      'roomline-worker': request.worker,
      'roomline-generation': String(request.generation),
      ...(request.requestId === undefined ? {} : { 'x-request-id': request.requestId }),
    };
    const body = withReference(request.reference, request.body);
    const outcome = await sends.exchange({ method: 'POST', path, headers, body, timeoutMs: request.timeoutMs });
    return classifySend(outcome, dependencies.wallClockMs());
  }

  async function lookUp(client: HttpClient, reference: string, timeoutMs: number): Promise<LookupResult> {
    const query = `${path}?reference=${reference}`;
    const outcome = await client.exchange({
      method: 'GET',
      path: query,
      headers: { authorization },
      body: null,
      timeoutMs,
    });
    return readLookup(outcome);
  }

  return {
    senderId: null,
    checkContent: null,
    send,
    handshake: null,
    lookup: lookups === null ? null : (reference, timeoutMs) => lookUp(lookups, reference, timeoutMs),
    verify: ({ headers, raw }, wallClockMs) => verify(headers, raw, wallClockMs),
    readStatuses: ({ raw }) => readStatuses(raw),
    close: async () => {
      await Promise.all([sends.close(), lookups?.close()]);
    },
  };
}

/** The stored `{"to":…,"content":…}` with the reference as its first field, spliced without reading the body again. */
function withReference(reference: string, body: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`{"reference":"${reference}",`), body.subarray(1)]);
}
