/**
 * Requests drawn from the contract, whole and broken, on a server with every route there is: each is answered in time,
 * by a status, a code and a body that the contract has for it.
 */
import { request as httpRequest } from 'node:http';
import type { ValidateFunction } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compilerOf, type Operation } from '../http/contract.ts';
import { bearer } from '../http/fixture.ts';
import { startWhole } from '../http/whole.ts';
import { CHANNEL } from '../support/engine.ts';
import { hostile, type Json, Values } from './contract-values.ts';

/** More by hand: `ROOMLINE_FUZZ_CASES=20000 ROOMLINE_FUZZ_SEED=7 npx vitest run test/fuzz/contract.test.ts`. */
const REQUESTS = Number(process.env.ROOMLINE_FUZZ_CASES ?? 700);
const SEED = Number(process.env.ROOMLINE_FUZZ_SEED ?? 20_260_101);
const MAX_MS = 5_000;

interface Drawn {
  readonly key: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | null;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  readonly ms: number;
}

async function ask(url: string, { method, path, headers, body }: Drawn): Promise<Answer> {
  const { hostname, port } = new URL(url);
  const startedAt = performance.now();
  const answered = Promise.withResolvers<Answer>();
  const length = body === null ? {} : { 'content-length': String(body.length) };
  const client = httpRequest({ hostname, port, method, path, headers: { ...headers, ...length }, timeout: MAX_MS });
  client.once('response', (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    if (response.headers['content-type']?.startsWith('text/event-stream') === true) {
      // A feed has no end.
      answered.resolve({ status: 200, type: 'text/event-stream', text: '', ms: performance.now() - startedAt });
      client.destroy();
      return;
    }
    response.once('error', answered.reject);
    response.once('end', () => {
      const { statusCode: status = 0, headers: answer } = response;
      const [type = ''] = String(answer['content-type']).split(';');
      answered.resolve({ status, type, text: Buffer.concat(chunks).toString(), ms: performance.now() - startedAt });
    });
  });
  client.once('timeout', () => client.destroy(new Error(`no answer to ${method} ${path}`)));
  client.once('error', answered.reject);
  client.end(body ?? undefined);
  return answered.promise;
}

/** As a header or a path can carry it. */
const asText = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));
const encoded = (text: string): string => encodeURIComponent(text.toWellFormed());
const printable = (text: string): string =>
  text
    .replaceAll(/[^\x20-\x7e]/g, '?')
    .slice(0, 300)
    .trim();

function requests(
  operations: readonly (readonly [string, Operation])[],
  values: Values,
  known: Readonly<Record<string, string>>,
) {
  const perOperation = operations.map(([key, operation]): fc.Arbitrary<Drawn> => {
    const [method = '', template = ''] = key.split(' ');
    const { parameters = [], requestBody } = operation;
    const scope = (operation['x-scope'] ?? 'read') as Parameters<typeof bearer>[0];
    const partOf = (name: string) =>
      fc.oneof(
        { weight: 3, arbitrary: fc.constant(known[`${template} ${name}`] ?? known[name] ?? 'x') },
        { weight: 1, arbitrary: hostile.map(asText).filter((text) => text !== '') },
      );
    const path = fc
      .tuple(...[...template.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => partOf(name)))
      .map((parts) => parts.reduce((filled: string, part) => filled.replace(/\{\w+\}/, () => encoded(part)), template));
    const query = fc
      .tuple(
        ...parameters
          .filter((each) => each.in === 'query')
          .map(({ name, schema }) =>
            fc.oneof(
              { weight: 3, arbitrary: fc.constant([]) },
              { weight: 2, arbitrary: values.valid(schema).map((value) => [[name, asText(value)]]) },
              { weight: 1, arbitrary: hostile.map((value) => [[name, asText(value)]]) },
              {
                weight: 1,
                arbitrary: hostile.map((value) => [
                  [name, '1'],
                  [name, asText(value)],
                ]),
              },
            ),
          ),
        fc.oneof(
          { weight: 9, arbitrary: fc.constant([]) },
          { weight: 1, arbitrary: hostile.map((v) => [['extra', asText(v)]]) },
        ),
      )
      .map((parts) =>
        parts
          .flat()
          .map(([name = '', value = '']) => `${name}=${encoded(value)}`)
          .join('&'),
      );
    const schema = Object.values(requestBody?.content ?? {})[0]?.schema;
    const json =
      schema === undefined
        ? fc.constant(null)
        : fc.oneof(
            { weight: 4, arbitrary: values.valid(schema) },
            { weight: 6, arbitrary: values.mutated(schema) },
            { weight: 1, arbitrary: hostile },
          );
    const body = fc.tuple(json, fc.nat(20), fc.nat()).map(([value, kind, at]): Buffer | null => {
      if (schema === undefined) return kind === 0 ? Buffer.from('{}') : null;
      const bytes = Buffer.from(JSON.stringify(value) ?? '');
      if (kind === 0) return null;
      if (kind === 1) return bytes.subarray(0, at % (bytes.length + 1));
      if (kind === 2) return Buffer.concat([bytes, Buffer.of(0xff, at % 256)]);
      return bytes;
    });
    const keyed = fc.oneof(
      { weight: 12, arbitrary: fc.constant(bearer(scope)) },
      { weight: 1, arbitrary: fc.constantFrom(bearer('read'), bearer('publish'), { authorization: 'Bearer x' }, {}) },
    );
    const type = fc.oneof(
      { weight: 9, arbitrary: fc.constant('application/json') },
      {
        weight: 1,
        arbitrary: fc.constantFrom('text/plain', 'application/json; charset=utf-16', 'x', 'application/xml'),
      },
    );
    const named = parameters.filter((each) => each.in === 'header');
    const others = fc
      .tuple(...named.map(({ name }) => fc.option(hostile.map((v) => [name, printable(asText(v))] as const))))
      .map((pairs) =>
        Object.fromEntries(pairs.filter((pair) => pair !== null && pair[1] !== '') as (readonly [string, string])[]),
      );
    return fc.tuple(path, query, body, keyed, type, others).map(([target, search, bytes, auth, contentType, more]) => ({
      key,
      method,
      path: search === '' ? target : `${target}?${search}`,
      headers: { ...auth, ...(bytes === null ? {} : { 'content-type': contentType }), ...more } as Record<
        string,
        string
      >,
      body: bytes,
    }));
  });
  return fc.oneof(...perOperation);
}

test('whatever is asked, the answer is one of the contract', { timeout: 60_000 + REQUESTS * 50 }, async () => {
  const { steered, operations, document, server, backend } = await startWhole();
  await steered.process.publish('r-1', ['m-1']);
  await steered.fail('r-2', ['m-2']);
  const [letter] = (await steered.get('/v1/dead-letters?tenant=default')).body.letters;
  const known: Record<string, string> = {
    tenant: 'default',
    channel: CHANNEL.channel,
    room: 'r-1',
    worker: 'a',
    id: await steered.id('r-1', 1),
  };
  for (const [key] of operations) {
    if (key.includes('dead-letters/{id}')) known[`${key.split(' ')[1]} id`] = String(letter.id);
  }
  const compile = compilerOf(document);
  const compiled = new Map<Json, ValidateFunction>();
  const keeps = (schema: Json, value: unknown): unknown => {
    const validate = compiled.get(schema) ?? compile(schema);
    compiled.set(schema, validate);
    return validate(value) ? null : validate.errors;
  };
  const byKey = new Map(operations);
  const statuses = new Map<number, number>();
  const asked = new Set<string>();

  await fc.assert(
    fc.asyncProperty(requests(operations, new Values(document.components.schemas), known), async (drawn) => {
      const { status, type, text, ms } = await ask(server.url, drawn);
      const what = `${drawn.method} ${drawn.path} ${drawn.body?.toString().slice(0, 500)} -> ${status} ${text.slice(0, 500)}`;
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      asked.add(drawn.key);
      expect(ms, what).toBeLessThan(MAX_MS);
      expect(status, what).toBeLessThan(500);
      const responses = byKey.get(drawn.key)?.responses ?? {};
      const media = (responses[status] ?? responses[`${String(status)[0]}XX`])?.content[type];
      expect(media, `not in the contract: ${what}`).toBeDefined();
      if (!type.endsWith('json') || type === 'application/openapi+json') return;
      expect(keeps(media?.schema ?? {}, JSON.parse(text)), what).toBeNull();
    }),
    { seed: SEED, numRuns: REQUESTS, endOnFailure: true },
  );
  expect(asked.size).toBe(operations.length);
  expect([...statuses.keys()]).toEqual(expect.arrayContaining([200, 202, 400, 403, 404, 415]));
  expect(steered.process.failures).toEqual([]);
  expect(backend.logged.filter(({ event }) => event === 'http.request_failed')).toEqual([]);
});
