/** The dashboard's files, as `npm run build` left them, and what a browser is told about them. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { RoomlineError } from '../errors.ts';

const BUILT = fileURLToPath(new URL('../../dist/dashboard', import.meta.url));

/** Files of this origin and nothing else: no inline script or style, no other host, no frame around the page. */
const POLICY = [
  "default-src 'none'",
  ...['script', 'style', 'img', 'font', 'connect', 'manifest'].map((kind) => `${kind}-src 'self'`),
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const HEADERS = {
  'content-security-policy': POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
} as const;

/** Names of files below it hold a digest of their content: another content is another name. */
const FOR_EVER = 'public, max-age=31536000, immutable';
const ASK_FIRST = 'no-cache';

export interface Dashboard {
  /** Adds `/` and the files that the page is made of. */
  readonly addRoutes: (app: FastifyInstance) => void;
  /** Answers a browser that goes to an address that only the page itself knows; null where the request is none of that. */
  readonly answerNavigation: (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply> | null;
}

/**
 * @param directory where the build is; `dist/dashboard` by default. A later build there is served from then on, if there is
 *   one at the start.
 */
export function createDashboard(directory: string = BUILT): Dashboard {
  const root = join(directory, 'assets');
  const isBuilt = existsSync(root);
  const sendPage = async (reply: FastifyReply): Promise<FastifyReply> => {
    // Without what it is made of it would be an empty one.
    const page = isBuilt ? await readOrNull(join(directory, 'index.html')) : null;
    if (page === null) throw new RoomlineError('dashboard_not_built');
    return reply.headers(headersOf(ASK_FIRST)).type('text/html; charset=utf-8').send(page);
  };
  return {
    addRoutes(app) {
      const hidden = { schema: { hide: true } as object };
      app.get('/', hidden, (_request, reply) => sendPage(reply));
      app.get('/icon.svg', hidden, async (_request, reply) => {
        const icon = await readOrNull(join(directory, 'icon.svg'));
        if (icon === null) throw new RoomlineError('not_found');
        return reply.headers(headersOf(ASK_FIRST)).type('image/svg+xml').send(icon);
      });
      if (!isBuilt) return;
      app.register(fastifyStatic, {
        root,
        prefix: '/assets/',
        decorateReply: false,
        schemaHide: true,
        preCompressed: true,
        index: false,
        cacheControl: false,
        setHeaders: (reply) => reply.headers(headersOf(FOR_EVER)),
      });
    },
    answerNavigation: (request, reply) => (isNavigation(request) ? sendPage(reply) : null),
  };
}

function headersOf(cacheControl: string): Record<string, string> {
  return { ...HEADERS, 'cache-control': cacheControl };
}

async function readOrNull(file: string): Promise<Buffer | null> {
  try {
    return await readFile(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** The API and the health checks have their own words for what is not there. */
function isNavigation({ method, url, headers }: FastifyRequest): boolean {
  if (method !== 'GET' && method !== 'HEAD') return false;
  return headers.accept?.includes('text/html') === true && !/^\/(v\d+|assets|webhooks)(\/|\?|$)/.test(url);
}
