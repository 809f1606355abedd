/** The contract that the server shows: whole, valid in itself, and the same that it is run by. */
import { describe, expect, it } from 'vitest';
import { ERRORS } from '../../src/errors.ts';
import { OPERATIONS } from '../../src/http/contract.ts';
import type { HttpDependencies } from '../../src/http/dependencies.ts';
import { buildOpenApi, operationKey, type Route, routeOf } from '../../src/http/openapi.ts';
import { compilerOf, type Document, operationsOf } from './contract.ts';
import { Backend, startServer } from './fixture.ts';

/** A server that has every route there is. */
async function startWhole() {
  const backend = new Backend();
  const some = { channelAdmin: {}, buffer: {}, fleet: {}, pipeline: {}, steering: {} } as Partial<HttpDependencies>;
  Object.assign(backend.dependencies, some);
  backend.dependencies.pipeline = {} as NonNullable<HttpDependencies['pipeline']>;
  backend.dependencies.live = { close: () => undefined } as NonNullable<HttpDependencies['live']>;
  return startServer({}, backend);
}

async function load() {
  const { call } = await startWhole();
  const response = await call('/v1/openapi.json');
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toContain('application/openapi+json');
  const document = (await response.json()) as Document;
  return { document, operations: operationsOf(document), compile: compilerOf(document) };
}

describe('GET /v1/openapi.json', () => {
  it('shows every operation once, by a name of its own, and nothing that is not there', async () => {
    const { document, operations } = await load();
    expect(document.openapi).toBe('3.1.0');
    const shown = operations.map(([key]) => key.replaceAll(/\{(\w+)\}/g, ':$1'));
    expect(shown.toSorted()).toEqual(Object.keys(OPERATIONS).toSorted());
    const names = operations.map(([, { operationId }]) => operationId);
    expect(new Set(names).size).toBe(names.length);
    for (const [key, { summary }] of operations) expect(summary, key).toMatch(/^[A-Z].*\.$/);
  });

  it('says of every route which scope it asks, and of those without a key that they ask none', async () => {
    const { operations } = await load();
    const open = operations.filter(([, { security }]) => security.length === 0).map(([key]) => key);
    expect(open.toSorted()).toEqual([
      'GET /docs',
      'GET /healthz',
      'GET /readyz',
      'GET /v1/openapi.json',
      'GET /v1/webhooks/{tenant}/{channel}',
      'POST /v1/webhooks/{tenant}/{channel}',
    ]);
    const scopes = new Set(operations.flatMap(([, operation]) => operation['x-scope'] ?? []));
    expect([...scopes].toSorted()).toEqual(['operate', 'publish', 'read']);
  });

  it('describes parameters, bodies and answers by schemas that are valid, and that the examples keep', async () => {
    const { operations, compile } = await load();
    for (const [key, { parameters = [], requestBody, responses }] of operations) {
      const named = [...key.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      expect(
        parameters.filter((each) => each.in === 'path').map(({ name }) => name),
        key,
      ).toEqual(named);
      for (const { name, schema } of parameters) {
        expect(schema.description, `${key} ${name}`).toEqual(expect.any(String));
        compile(schema);
      }
      const media = [
        ...Object.values(requestBody?.content ?? {}),
        ...Object.values(responses).flatMap(({ content }) => Object.values(content)),
      ];
      expect(
        Object.keys(responses).some((status) => status.startsWith('2') || status === '101'),
        key,
      ).toBe(true);
      for (const { schema, example } of media) {
        const keeps = compile(schema);
        if (example === undefined) continue;
        expect(keeps(example), `${key} ${JSON.stringify(keeps.errors)}`).toBe(true);
      }
      const answers = Object.entries(responses).filter(([status]) => status.startsWith('2'));
      for (const [status, { content }] of answers) {
        const json = content['application/json'];
        if (json !== undefined) expect(json.example, `${key} ${status}`).toBeDefined();
      }
    }
  });

  it('says of all that shows a state when it was so', async () => {
    const { document, operations } = await load();
    /** What stays as long as the process; probes; a handshake; feeds, of which each event says it. */
    const without = [
      'GET /docs',
      'GET /healthz',
      'GET /metrics',
      'GET /readyz',
      'GET /v1/development',
      'GET /v1/key',
      'GET /v1/live',
      'GET /v1/live/socket',
      'GET /v1/openapi.json',
      'GET /v1/webhooks/{tenant}/{channel}',
    ];
    const named = document.components.schemas;
    const lacking = operations.filter(([key, { responses }]) => {
      if (!key.startsWith('GET ')) return false;
      const { $ref: reference, ...schema } = responses['200']?.content['application/json']?.schema ?? {};
      const shown = reference === undefined ? schema : named[String(reference).split('/').at(-1) ?? ''];
      return !(shown?.required as readonly string[] | undefined)?.includes('asOf');
    });
    expect(lacking.map(([key]) => key).toSorted()).toEqual(without);
  });

  it('lists under each status the codes of the catalogue that have it', async () => {
    const { operations } = await load();
    for (const [key, { responses }] of operations) {
      for (const [status, { content }] of Object.entries(responses)) {
        const problem = content['application/problem+json'];
        if (problem === undefined) continue;
        const { code } = (problem.schema.allOf as { properties?: { code: { enum: (keyof typeof ERRORS)[] } } }[])[1]
          ?.properties ?? { code: { enum: [] } };
        expect(code.enum.length, key).toBeGreaterThan(0);
        for (const each of code.enum) expect(ERRORS[each]?.status, `${key} ${each}`).toBe(Number(status));
      }
    }
  });

  it('names the schemas that clients share', async () => {
    const { document } = await load();
    const text = JSON.stringify(document.paths);
    for (const name of Object.keys(document.components.schemas)) {
      expect(text + JSON.stringify(document.components), name).toContain(`"#/components/schemas/${name}"`);
    }
  });

  it('is not made for a route that nothing is said of', () => {
    const route: Route = { method: 'GET', url: '/v1/unheard', scope: 'read', query: null, responses: {} };
    expect(() => buildOpenApi([route])).toThrow('GET /v1/unheard');
    expect(operationKey({ ...route, url: '/v1/a::b' })).toBe('GET /v1/a:b');
    expect(routeOf({ method: 'HEAD', url: '/', handler: () => undefined })).toBeNull();
  });
});

describe('GET /docs', () => {
  it('is one page of every operation, without script and with nothing from elsewhere', async () => {
    const { call } = await startWhole();
    const response = await call('/docs');
    const page = await response.text();
    expect(response.headers.get('content-type')).toContain('text/html');
    const policy = response.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
    expect(page).not.toMatch(/<script|\son\w+=|style=|src=|https?:\/\/(?!gateway\.example)/);
    for (const { operationId } of Object.values(OPERATIONS)) expect(page).toContain(`id="${operationId}"`);
  });
});
