/** What holds for every answer, whatever was asked. */

import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { expect } from 'vitest';
import { ERRORS, type ErrorCode } from '../../src/errors.ts';
import {
  acceptedSchema,
  batchAcceptedSchema,
  channelListSchema,
  healthSchema,
  messageListSchema,
  messageSchema,
  problemSchema,
  readinessSchema,
  roomSchema,
  webhookSchema,
} from '../../src/http/schemas.ts';
import { type Answer, type Ask, CANARY, type Rig } from './rig.ts';

type Validator = { Check(value: unknown): boolean; Errors(value: unknown): unknown };

/** The schema with nothing allowed that it does not name. */
function exact(schema: unknown): unknown {
  if (typeof schema !== 'object' || schema === null) return schema;
  if (Array.isArray(schema)) return schema.map(exact);
  const copy = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, exact(value)]));
  return copy.type === 'object' && 'properties' in copy ? { ...copy, additionalProperties: false } : copy;
}

const compiled = (schema: object): Validator => Compile(Type.Unsafe(exact(schema) as object)) as unknown as Validator;

/** Success by the route that gave it: the first pattern that the path matches. */
const SUCCESS: readonly { readonly path: RegExp; readonly status: number; readonly body: Validator | null }[] = [
  { path: /^\/v1\/messages(\?|$)/, status: 202, body: compiled(acceptedSchema) },
  { path: /^\/v1\/messages:batch(\?|$)/, status: 202, body: compiled(batchAcceptedSchema) },
  { path: /^\/v1\/messages\//, status: 200, body: compiled(messageSchema) },
  { path: /^\/v1\/rooms\/[^/]*\/[^/?]*\/messages/, status: 200, body: compiled(messageListSchema) },
  { path: /^\/v1\/rooms\//, status: 200, body: compiled(roomSchema) },
  { path: /^\/v1\/channels/, status: 200, body: compiled(channelListSchema) },
  { path: /^\/v1\/webhooks\//, status: 200, body: compiled(webhookSchema) },
  { path: /^\/healthz/, status: 200, body: compiled(healthSchema) },
  { path: /^\/readyz/, status: 200, body: compiled(readinessSchema) },
  { path: /^\/metrics/, status: 200, body: null },
  // The dashboard.
  { path: /^\/(\?|$)/, status: 200, body: null },
];

const problem = compiled(problemSchema);

/** The problem document of an answer, checked against the catalogue. */
export function problemOf(answer: Answer): {
  readonly code: ErrorCode;
  readonly field?: string;
  readonly rule?: string;
} {
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  const body = JSON.parse(answer.text);
  expect(problem.Check(body), answer.text).toBe(true);
  const documented = ERRORS[body.code as ErrorCode];
  expect(documented, `the code ${body.code}`).toBeDefined();
  const { status, title, action, retryable } = documented;
  expect(body).toMatchObject({ type: `urn:roomline:error:${body.code}`, status, title, action, retryable });
  expect(answer.status).toBe(status);
  expect(answer.headers['x-request-id']).toBe(body.requestId);
  return body;
}

/** Fails where one of them is in the text. */
function expectNone(what: string, text: string, secrets: readonly string[]): void {
  for (const secret of secrets)
    if (text.includes(secret)) expect.fail(`${what} shows ${secret}: ${text.slice(0, 2_000)}`);
}

export interface Asked {
  readonly answer: Answer;
  readonly changes: number;
}

const SLOW_MS = 1_000;
/** Platforms wait this long for the answer to a call that may carry 5,000 statuses. */
const SLOW_CALL_MS = 5_000;

/**
 * Asks, and checks what holds for every answer: a documented status and body, no change by a refusal, nothing of the
 * input in log or refusal, in less than a second (five for webhooks).
 */
export async function ask(rig: Rig, request: Ask, allowed: readonly string[] = []): Promise<Asked> {
  let asked = await askOnce(rig, request, allowed);
  // A machine that is busy elsewhere may be slow once; the input itself is slow every time.
  const limit = request.path.startsWith('/v1/webhooks/') ? SLOW_CALL_MS : SLOW_MS;
  for (let again = 0; asked.answer.ms > limit && again < 3; again++) asked = await askOnce(rig, request, allowed);
  expect(asked.answer.ms, 'ms until the answer').toBeLessThan(limit);
  return asked;
}

async function askOnce(rig: Rig, request: Ask, allowed: readonly string[]): Promise<Asked> {
  // Only webhooks can move a room at once; elsewhere an ack timeout of 1 ms may fall between two requests.
  const counter = request.path.startsWith('/v1/webhooks/') ? 'changes' : 'directChanges';
  const before = rig.watched[counter];
  rig.logged.length = 0;
  const answer = await rig.ask(request);
  await rig.quiet();
  const changes = rig.watched[counter] - before;
  expect(rig.failures).toEqual([]);
  expectNone('the log', rig.logged.join(''), [CANARY]);
  expect(answer.status, answer.text).toBeLessThan(500);
  if (answer.status >= 400) {
    expect(changes, `changes by a refusal: ${answer.text}`).toBe(0);
    if (request.method !== 'HEAD') {
      const { field } = problemOf(answer);
      const named = allowed.includes(field ?? '') ? JSON.stringify(field) : '';
      expectNone('a refusal', named === '' ? answer.text : answer.text.replaceAll(named, ''), [CANARY]);
    }
  } else {
    const documented = SUCCESS.find(({ path }) => path.test(request.path));
    expect(answer.status).toBe(documented?.status);
    expectNone('an answer', answer.text, [`${CANARY}-text`, `${CANARY}-to`, `${CANARY}-the`, `${CANARY}-token`]);
    if (documented?.body != null && request.method !== 'HEAD') {
      const body: unknown = JSON.parse(answer.text);
      expect(documented.body.Check(body), answer.text).toBe(true);
    }
  }
  return { answer, changes };
}

/** What the database must hold for a message that was accepted, by the words of the documentation alone. */
export function expectedOf(raw: Uint8Array): { tenant: string; channel: string; room: string; body: string } {
  const { tenant = 'default', channel, room, to = room, content } = JSON.parse(Buffer.from(raw).toString());
  return { tenant, channel, room, body: JSON.stringify({ to, content }) };
}
