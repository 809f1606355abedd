import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

/** The records of an NDJSON file, one by one. A last line that a kill cut short is left out; any other broken line throws. */
export async function* readNdjson<T>(file: string): AsyncGenerator<T> {
  let pending: string | undefined;
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
    if (pending !== undefined) yield JSON.parse(pending) as T;
    pending = line === '' ? undefined : line;
  }
  if (pending === undefined) return;
  let last: T;
  try {
    last = JSON.parse(pending) as T;
  } catch {
    return;
  }
  yield last;
}
