/** What a call of the API may fail with. */
import type { ErrorCode, Fault, Problem } from '../errors.ts';

/** The API has refused. */
export class RoomlineApiError extends Error {
  override readonly name = 'RoomlineApiError';
  readonly status: number;
  /** Of the catalogue (docs/errors.md), or one that a later server has; `unknown` where something else answered. */
  readonly code: ErrorCode | 'unknown';
  readonly detail: string;
  /** What to do about it. */
  readonly action: string | undefined;
  /** The same request may succeed later. */
  readonly retryable: boolean;
  readonly field: string | undefined;
  readonly rule: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly faults: readonly Fault[];
  readonly requestId: string | undefined;

  /** @param retryAfterMs of the answer's headers, where the problem says nothing more exact */
  constructor(status: number, problem: Partial<Problem>, retryAfterMs?: number) {
    const { code = 'unknown', detail = problem.title ?? `HTTP ${status}` } = problem;
    super(`${code}: ${detail}`);
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.action = problem.action;
    this.retryable = problem.retryable ?? (status === 429 || status >= 500);
    this.field = problem.field;
    this.rule = problem.rule;
    this.retryAfterMs = problem.retryAfterMs ?? retryAfterMs;
    this.faults = problem.faults ?? [];
    this.requestId = problem.requestId;
  }
}

/** There was no answer, or none of Roomline: what became of the request is not known. */
export class RoomlineConnectionError extends Error {
  override readonly name = 'RoomlineConnectionError';
}

/** What an answer says that is no success. @param answer its JSON */
export function refusalIn(response: Response, answer: unknown): RoomlineApiError {
  const seconds = response.headers.get('retry-after');
  const retryAfterMs = seconds !== null && /^\d{1,6}$/.test(seconds) ? Number(seconds) * 1_000 : undefined;
  return new RoomlineApiError(response.status, answer as Partial<Problem>, retryAfterMs);
}
