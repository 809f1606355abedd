/** The HTTP API as the command line calls it. */
import type { Problem } from '../errors.ts';

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
 * The answer's JSON.
 * @throws CommandError where there is no answer, or the answer is a refusal
 */
export async function callApi(
  access: ApiAccess,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: object,
): Promise<unknown> {
  if (access.key === undefined) throw new CommandError('Set ROOMLINE_KEY to an API key ("roomline keys create").');
  const headers = { authorization: `Bearer ${access.key}`, 'content-type': 'application/json' };
  const response = await access
    .fetch(new URL(path, access.url), {
      method,
      headers,
      redirect: 'error',
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    .catch((cause: unknown) => {
      throw new CommandError(`No answer from ${access.url}. Is Roomline running there? Set ROOMLINE_URL.`, { cause });
    });
  const answer: unknown = await response.json().catch((cause: unknown) => {
    throw new CommandError(`${access.url} answered ${response.status} without JSON. Is it Roomline?`, { cause });
  });
  if (!response.ok) throw new CommandError(describe(answer as Partial<Problem>, response.status));
  return answer;
}

function describe(problem: Partial<Problem>, status: number): string {
  const { code = `HTTP ${status}`, detail = '', field, rule, action, requestId } = problem;
  const where = field === undefined ? '' : ` (${field}${rule === undefined ? '' : `: ${rule}`})`;
  const lines = [`${code}: ${detail}${where}`];
  if (action !== undefined) lines.push(action);
  if (requestId !== undefined) lines.push(`request ${requestId}`);
  return lines.join('\n');
}
