/** What an answer of Pub/Sub means, in words for an operator. */

/** The names of gRPC's status codes, in their order. */
const NAMES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;
export type StatusName = (typeof NAMES)[number];

const MEANINGS: Readonly<Partial<Record<StatusName, string>>> = {
  NOT_FOUND: 'the subscription does not exist',
  PERMISSION_DENIED: 'the credentials do not allow to consume the subscription',
  UNAUTHENTICATED: 'the credentials were refused',
  UNAVAILABLE: 'Pub/Sub cannot be reached or refuses',
  DEADLINE_EXCEEDED: 'Pub/Sub does not answer in time',
};

/** The subscription is there and is not fit for consuming it in order. */
export class UnfitSubscriptionError extends Error {
  override readonly name = 'UnfitSubscriptionError';
  readonly code: string;

  constructor(code: string, meaning: string) {
    super(`${code}: ${meaning}`);
    this.code = code;
  }
}

/** The stream of messages has ended and none has taken its place. */
export class StreamEndedError extends Error {
  override readonly name = 'StreamEndedError';
  /** gRPC status. */
  readonly code: number;

  constructor(code: number) {
    super('the stream of messages ended');
    this.code = code;
  }
}

/** The status that a call ended with; null for an error that is none, such as missing credentials. */
export function statusOf(error: unknown): StatusName | null {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'number' ? (NAMES[code] ?? null) : null;
}

/** One line with a code in front. It says nothing that the error's own text may quote. */
export function troubleOf(error: unknown): string {
  if (error instanceof UnfitSubscriptionError) return error.message;
  const status = statusOf(error);
  if (status === null) return 'CLIENT: the Pub/Sub client failed before it reached the service';
  if (error instanceof StreamEndedError) return `${status}: the stream of messages ended and does not open again`;
  return `${status}: ${MEANINGS[status] ?? 'Pub/Sub answered with an error'}`;
}
