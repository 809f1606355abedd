/** The HTTP API as the command line calls it: the client, with failures in words for the person at the terminal. */
import { RoomlineApiError, RoomlineClient, RoomlineConnectionError } from '../client/client.ts';

export interface ApiAccess {
  /** Such as `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly key: string | undefined;
  readonly fetch: typeof fetch;
}

/** A failure in words for the person at the terminal. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

/**
 * @param retries none by default: who sits at the terminal decides
 * @throws CommandError where no key is set
 */
export function clientOf({ url, key, fetch }: ApiAccess, retries = 0): RoomlineClient {
  if (key === undefined) throw new CommandError('Set ROOMLINE_KEY to an API key ("roomline keys create").');
  return new RoomlineClient({ url, key, fetch, retries });
}

/** What a person is told of a failed call; null for any other failure. */
export function describeFailure(error: unknown): string | null {
  if (error instanceof RoomlineConnectionError) return `${error.message} Is Roomline running there? Set ROOMLINE_URL.`;
  if (!(error instanceof RoomlineApiError)) return null;
  const { code, status, detail, field, rule, action, requestId, faults } = error;
  const where = field === undefined ? '' : ` (${field}${rule === undefined ? '' : `: ${rule}`})`;
  const lines = [`${code === 'unknown' ? `HTTP ${status}` : code}: ${detail}${where}`];
  for (const fault of faults) lines.push(`${fault.path}: ${fault.rule}. ${fault.action} [${fault.code}]`);
  if (action !== undefined) lines.push(action);
  if (requestId !== undefined) lines.push(`request ${requestId}`);
  return lines.join('\n');
}
