/** The contract over HTTP: for programs as OpenAPI, for people as one page without script, made from the same document. */
import { createHash } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { addEndpoint } from './endpoint.ts';
import { buildOpenApi, type Json, type Route } from './openapi.ts';

export interface DocsOptions {
  /** All that the server has, once it has started. */
  readonly routes: readonly Route[];
  readonly answerTimeoutMs: number;
}

export function addDocsRoutes(app: FastifyInstance, { routes, answerTimeoutMs }: DocsOptions): void {
  let made: { readonly json: string; readonly page: string } | null = null;
  const make = () => {
    if (made !== null) return made;
    const document = buildOpenApi(routes);
    made = { json: JSON.stringify(document), page: renderPage(document) };
    return made;
  };

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/openapi.json',
    handler: async (_request, reply) => {
      reply.type('application/openapi+json').header('x-content-type-options', 'nosniff');
      return make().json;
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/docs',
    handler: async (_request, reply) => {
      reply.type('text/html; charset=utf-8').header('x-content-type-options', 'nosniff');
      reply.header('content-security-policy', POLICY).header('referrer-policy', 'no-referrer');
      return make().page;
    },
  });
}

const STYLE = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #8886; }
summary { cursor: pointer; padding: .3rem 0; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .7rem; background: #8881; border-radius: 4px; }
b.method { display: inline-block; min-width: 4.5rem; }
table { border-collapse: collapse; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; }
.note { color: #888; }
`;
const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly 'x-scope'?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required: boolean;
    readonly schema: Json;
  }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, Json>> };
  readonly responses: Readonly<
    Record<string, { readonly description: string; readonly content: Readonly<Record<string, Json>> }>
  >;
}

function renderPage(document: Json): string {
  const { info, paths, components } = document as {
    readonly info: { readonly title: string; readonly version: string; readonly description: string };
    readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
    readonly components: { readonly schemas: Readonly<Record<string, Json>> };
  };
  const all = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
  const tags = [...new Set(all.flatMap(({ operation }) => operation.tags))];
  const sections = tags.map((tag) => {
    const operations = all.filter(({ operation }) => operation.tags.includes(tag));
    return `<h2>${escapeHtml(tag)}</h2>${operations.map(renderOperation).join('')}`;
  });
  const schemas = Object.entries(components.schemas).map(
    ([name, schema]) =>
      `<details id="${escapeHtml(name)}"><summary>${escapeHtml(name)}</summary>${pretty(schema)}</details>`,
  );
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(info.title)} API</title><style>${STYLE}</style></head><body>
<h1>${escapeHtml(info.title)} API <span class="note">${escapeHtml(info.version)}</span></h1>
<p>${escapeHtml(info.description)} <a href="/v1/openapi.json">OpenAPI 3.1</a></p>
${sections.join('')}<h2>schemas</h2>${schemas.join('')}</body></html>`;
}

function renderOperation({ path, method, operation }: { path: string; method: string; operation: Operation }): string {
  const { operationId, summary, parameters = [], requestBody, responses } = operation;
  const scope = operation['x-scope'];
  const rows = parameters.map(
    ({ name, in: where, required, schema }) =>
      `<tr><td><code>${escapeHtml(name)}</code></td><td>${where}${required ? ', required' : ''}</td><td>${escapeHtml(String(schema.description ?? ''))}</td></tr>`,
  );
  const body = Object.entries(requestBody?.content ?? {}).map(([type, media]) => renderMedia('Body', type, media));
  const answers = Object.entries(responses).map(([status, { description, content }]) => {
    const media = Object.entries(content).filter(([type]) => type !== 'application/problem+json');
    return `<p><b>${status}</b> ${escapeHtml(description)}</p>${media.map(([type, one]) => renderMedia('Answer', type, one)).join('')}`;
  });
  return `<details id="${escapeHtml(operationId)}"><summary><b class="method">${method}</b> <code>${escapeHtml(path)}</code>
<span class="note">${escapeHtml(summary)}${scope === undefined ? '' : ` Scope: ${escapeHtml(scope)}.`}</span></summary>
${rows.length === 0 ? '' : `<table>${rows.join('')}</table>`}${body.join('')}${answers.join('')}</details>`;
}

function renderMedia(what: string, type: string, { schema, example }: Json): string {
  const shown = example === undefined ? '' : pretty(example);
  return `<p class="note">${what}: ${escapeHtml(type)}</p>${shown}<details><summary>Schema</summary>${pretty(schema)}</details>`;
}

function pretty(value: unknown): string {
  return `<pre>${escapeHtml(JSON.stringify(value, null, 2))}</pre>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}
