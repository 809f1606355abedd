/** Every error that leaves the server is a problem document with a code of the catalogue. */
import { randomUUID } from 'node:crypto';
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { type Problem, RoomlineError, toProblem } from '../errors.ts';
import { errorFields, type Log } from '../telemetry.ts';

export const MAX_HEADER_BYTES = 16_384;
const PROBLEM_TYPE = 'application/problem+json';
/** For answers that ask for a repetition without saying when. */
const DEFAULT_RETRY_AFTER_MS = 1_000;

/** The caller's own request id where it is harmless, else a new one. */
export function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && /^[\w.:-]{1,64}$/.test(given) ? given : randomUUID();
}

export function createErrorHandler(log: Log) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    const problem = toProblem(inOurWords(error), request.id);
    const { method } = request;
    const route = request.routeOptions.url ?? 'none';
    const { status, code, field } = problem;
    if (code === 'internal') {
      log.event('http.request_failed', { requestId: request.id, method, route, status, ...errorFields(error) });
    } else {
      // The name of an unknown field is the caller's own text.
      const known = code === 'field_unknown' ? undefined : field;
      log.event('http.request_refused', { requestId: request.id, method, route, status, code, field: known });
    }
    sendProblem(reply, problem);
  };
}

function sendProblem(reply: FastifyReply, problem: Problem): void {
  const retryAfterMs = problem.retryAfterMs ?? DEFAULT_RETRY_AFTER_MS;
  if (problem.status === 429 || problem.status === 503) {
    reply.header('retry-after', String(Math.ceil(retryAfterMs / 1_000)));
  }
  if (problem.code === 'unauthorized') reply.header('www-authenticate', 'Bearer');
  reply.code(problem.status).header('x-request-id', problem.requestId).type(PROBLEM_TYPE).send(problem);
}

/** Errors of the framework in our own words; anything else stays what it is and becomes `internal`. */
function inOurWords(error: unknown): unknown {
  if (error instanceof RoomlineError || !(error instanceof Error)) return error;
  const { code, validation, statusCode } = error as FastifyError;
  if (validation !== undefined) return invalidInput(validation[0]);
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new RoomlineError('body_too_large');
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new RoomlineError('unsupported_media_type');
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new RoomlineError('field_invalid', { field: 'content-length', rule: 'the length of the body' });
    case 'FST_ERR_BAD_URL':
      return new RoomlineError('field_invalid', { field: 'url', rule: 'percent-encoded UTF-8' });
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new RoomlineError('id_too_long', { field: 'url', rule: 'identifiers of at most 256 bytes' });
    default:
      // A body that broke off: nobody reads the answer.
      return statusCode === 400 ? new RoomlineError('field_invalid', { field: 'body', rule: 'complete' }) : error;
  }
}

function invalidInput(first: NonNullable<FastifyError['validation']>[number] | undefined): RoomlineError {
  const path = first?.instancePath.slice(1).replaceAll('/', '.') ?? '';
  const { additionalProperty, missingProperty, allowedValues } = (first?.params ?? {}) as {
    readonly additionalProperty?: string;
    readonly missingProperty?: string;
    readonly allowedValues?: readonly unknown[];
  };
  const rule = allowedValues === undefined ? (first?.message ?? 'valid') : allowedValues.join(', ');
  if (additionalProperty !== undefined) {
    return new RoomlineError('field_unknown', { field: 'query', rule: `no "${additionalProperty}"` });
  }
  if (missingProperty !== undefined) return new RoomlineError('field_missing', { field: missingProperty, rule });
  return new RoomlineError(first?.keyword === 'type' ? 'field_type' : 'field_invalid', { field: path, rule });
}

/** A header `Expect` that asks for anything but 100-continue: the request itself is not looked at. */
export function answerExpectation(request: IncomingMessage, response: ServerResponse): void {
  const requestId = requestIdOf(request);
  const problem = toProblem(new RoomlineError('field_invalid', { field: 'expect', rule: '100-continue' }), requestId);
  const body = JSON.stringify(problem);
  const length = { 'content-type': PROBLEM_TYPE, 'content-length': Buffer.byteLength(body) };
  response.writeHead(problem.status, { ...length, 'x-request-id': requestId, connection: 'close' }).end(body);
}

/** What is no HTTP request, or came too slowly, never reaches a route: it is answered on the bare connection. */
export function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const problem = toProblem(brokenRequest(error.code), randomUUID());
  const body = JSON.stringify(problem);
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}`,
    `content-type: ${PROBLEM_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${problem.requestId}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

function brokenRequest(code: string | undefined): RoomlineError {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new RoomlineError('request_timeout');
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new RoomlineError('field_invalid', { field: 'headers', rule: `at most ${MAX_HEADER_BYTES} bytes in all` });
  }
  return new RoomlineError('field_invalid', { field: 'request', rule: 'an HTTP/1.1 request' });
}
