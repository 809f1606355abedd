/** The headers in which the Graph API tells how much of a limit is used, and when an exhausted one ends. */
import { isFields, readObject } from '../fields.ts';
import { boundedWait } from '../retry-after.ts';

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** `X-App-Usage` is one object; the other lists such objects for each business. */
const HEADERS = ['x-business-use-case-usage', 'x-app-usage'] as const;
const WAIT = 'estimated_time_to_regain_access';

/** The longest wait that these headers name (in minutes there), in ms; null where they name none. */
export function readUsageWait(headers: Headers): number | null {
  const minutes = HEADERS.flatMap((name) => usages(headers[name]))
    .map((usage) => (isFields(usage) ? usage[WAIT] : undefined))
    .filter((wait) => typeof wait === 'number');
  return boundedWait(Math.max(0, ...minutes) * 60_000);
}

function usages(header: string | string[] | undefined): unknown[] {
  const value = typeof header === 'string' ? readObject(Buffer.from(header)) : null;
  return value === null ? [] : [value, ...Object.values(value).flat()];
}
