/** The contract as an OpenAPI 3.1 document, made from the routes that a server has and the schemas that they are run by. */
import { readFileSync } from 'node:fs';
import type { RouteOptions } from 'fastify';
import type { TObject, TSchema } from 'typebox';
import { ERRORS, type ErrorCode } from '../errors.ts';
import { COMMON_ERRORS, NAMED_SCHEMAS, OPERATIONS, type OperationText, PARAMETERS } from './contract.ts';
import { scopeOf } from './guard.ts';
import type { Scope } from './keys.ts';
import { problemSchema } from './schemas.ts';

export type Json = Readonly<Record<string, unknown>>;

export interface Route {
  readonly method: string;
  /** As Fastify has it, such as `/v1/messages/:id`. */
  readonly url: string;
  /** Null where no key is asked. */
  readonly scope: Scope | null;
  readonly query: TObject | null;
  readonly responses: Readonly<Record<string, TSchema>>;
}

/** What Fastify tells of a route when it is added; null for those that stand for an error only. */
export function routeOf({ method, url, schema, onRequest = [] }: RouteOptions): Route | null {
  const {
    hide = false,
    querystring = null,
    response = {},
  } = (schema ?? {}) as Json & {
    readonly querystring?: TObject;
    readonly response?: Readonly<Record<string, TSchema>>;
  };
  if (hide === true || typeof method !== 'string' || method === 'HEAD') return null;
  const scope = [onRequest].flat().reduce<Scope | null>((found, guard) => found ?? scopeOf(guard), null);
  return { method, url, scope, query: querystring, responses: response };
}

/** Its key among the texts, such as `POST /v1/messages:batch`. */
export function operationKey({ method, url }: Route): string {
  return `${method} ${pathOf(url)}`;
}

const VERSION = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

/** @throws Error for a route that nothing is said of */
export function buildOpenApi(routes: readonly Route[]): Json {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const text = OPERATIONS[operationKey(route)];
    if (text === undefined) throw new Error(`the contract says nothing of ${operationKey(route)}`);
    const path = bracedPath(route.url);
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route, text) };
  }
  const document = {
    openapi: '3.1.0',
    info: {
      title: 'Roomline',
      version: VERSION,
      description: 'Per-room ordered delivery of messages. Every error is a problem document with a stable code.',
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      securitySchemes: {
        key: { type: 'http', scheme: 'bearer', description: 'An API key, as "roomline keys create" makes it.' },
      },
      schemas: Object.fromEntries(
        Object.entries(NAMED_SCHEMAS).map(([name, schema]) => [name, withReferences(schema, name)]),
      ),
    },
  };
  return document;
}

function operationOf(route: Route, text: OperationText): Json {
  const { body, headers = {} } = text;
  const parameters = [
    ...[...pathOf(route.url).matchAll(/\/:(\w+)/g)].map(([, name = '']) => ({
      name,
      in: 'path',
      required: true,
      schema: { type: 'string', ...PARAMETERS[name] },
    })),
    ...Object.entries(route.query?.properties ?? {}).map(([name, schema]) => ({
      name,
      in: 'query',
      required: route.query?.required?.includes(name) ?? false,
      schema: withReferences(schema),
    })),
    ...Object.entries(headers).map(([name, schema]) => ({ name, in: 'header', required: false, schema })),
  ];
  return {
    operationId: text.operationId,
    summary: text.summary,
    tags: [text.tag],
    ...(route.scope === null ? { security: [] } : { security: [{ key: [] }], 'x-scope': route.scope }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: {
              [body.type ?? 'application/json']: { schema: withReferences(body.schema), example: body.example },
            },
          },
        }),
    responses: responsesOf(route, text),
  };
}

function responsesOf(route: Route, text: OperationText): Json {
  const answers = Object.entries(route.responses).filter(([status]) => status !== '4xx' && status !== '5xx');
  const type = text.produces ?? 'application/json';
  const responses: Record<string, { description: string; headers?: Json; content: Record<string, Json> }> = {};
  for (const [status, schema] of answers) {
    const isAnswer = status.startsWith('2') || status === '101';
    const example = isAnswer && text.example !== undefined ? { example: text.example } : {};
    const content = { [type]: { schema: withReferences(schema), ...example } };
    responses[status.toUpperCase()] = { description: text.summary, content };
  }
  if (answers.length === 0) {
    responses['200'] = { description: text.summary, content: { [type]: { schema: { type: 'string' } } } };
  }
  for (const [status, codes] of errorsOf(route, text)) {
    const schema = { allOf: [withReferences(problemSchema), { properties: { code: { enum: codes } } }] };
    const content = { ...responses[status]?.content, 'application/problem+json': { schema } };
    const description = codes.map((code) => `${code}: ${ERRORS[code].title}.`).join(' ');
    responses[status] = { description, ...(status === '429' || status === '503' ? RETRY_AFTER : {}), content };
  }
  return responses;
}

const RETRY_AFTER = { headers: { 'Retry-After': { schema: { type: 'integer' }, description: 'Seconds.' } } };

/** The codes that a route may answer with, by status. */
function errorsOf(route: Route, text: OperationText): Map<string, ErrorCode[]> {
  const codes = new Set<ErrorCode>([
    ...COMMON_ERRORS.all,
    ...(route.scope === null ? [] : COMMON_ERRORS.guarded),
    ...(route.query === null ? [] : COMMON_ERRORS.query),
    ...(route.url.includes('/:') ? COMMON_ERRORS.path : []),
    ...(text.body === undefined ? [] : COMMON_ERRORS.body),
    ...(text.errors ?? []),
  ]);
  const byStatus = new Map<string, ErrorCode[]>();
  for (const code of [...codes].toSorted()) {
    const status = String(ERRORS[code].status);
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return byStatus;
}

const NAMES = new Map<unknown, string>(Object.entries(NAMED_SCHEMAS).map(([name, schema]) => [schema, name]));

/** The schema as plain JSON; those that have a name stand as references, but not the one that is being described. */
function withReferences(schema: unknown, described?: string): unknown {
  const name = NAMES.get(schema);
  if (name !== undefined && name !== described) return { $ref: `#/components/schemas/${name}` };
  if (Array.isArray(schema)) return schema.map((each) => withReferences(each));
  if (typeof schema !== 'object' || schema === null) return schema;
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, withReferences(value)]));
}

/** A colon that begins no parameter is written twice in a route. */
function pathOf(url: string): string {
  return url.replaceAll('::', ':');
}

function bracedPath(url: string): string {
  return pathOf(url).replaceAll(/\/:(\w+)/g, '/{$1}');
}
