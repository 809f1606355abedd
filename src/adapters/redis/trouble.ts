import { ReplyError } from 'ioredis';

/** `away`: no connection, so nothing was tried. `refused`: Redis answered a command with an error. */
export type TroubleKind = 'away' | 'connection' | 'timeout' | 'refused';

/** Redis did not do what it was asked to. Says why by a code only: Redis and its client quote what they were given. */
export class RedisError extends Error {
  override readonly name = 'RedisError';
  readonly kind: TroubleKind;
  /** Such as `ECONNREFUSED`, `WRONGPASS`, `timeout`. */
  readonly code: string;

  constructor(kind: TroubleKind, code: string) {
    super(`Redis is away: ${code}`);
    this.kind = kind;
    this.code = code;
  }
}

/** What a command met. */
export function commandTrouble(error: unknown): RedisError {
  const code = codeOf(error);
  if (code === 'not_connected') return new RedisError('away', code);
  if (error instanceof ReplyError) return new RedisError('refused', code);
  return new RedisError(code === 'timeout' ? 'timeout' : 'connection', code);
}

/** What the connection met while it was made or kept, a refused password included. */
export function connectionTrouble(error: unknown): RedisError {
  return new RedisError('connection', codeOf(error));
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'failed';
  // Redis begins an error with its code, in capitals; only what looks like one is taken from the text.
  if (error instanceof ReplyError) return /^[A-Z]{2,32}(?= )/.exec(error.message)?.[0] ?? 'ERR';
  const { code } = error as { code?: unknown };
  if (typeof code === 'string') return code;
  if (/timed out|timeout/i.test(error.message)) return 'timeout';
  // It is breaking at this moment.
  if (error.message.startsWith("Stream isn't writeable")) return 'not_connected';
  return error.message === 'Connection is closed.' ? 'closed' : 'failed';
}
