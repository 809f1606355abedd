import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

/**
 * The records of an NDJSON file, one by one. A last line that a kill cut short is left out.
 * @throws SyntaxError on any other broken line, by its number; never with what it says
 */
export async function* readNdjson<T>(file: string): AsyncGenerator<T> {
  let pending: string | undefined;
  let number = 0;
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
    if (pending !== undefined && pending !== '') yield parse<T>(pending, file, number);
    pending = line;
    number++;
  }
  if (pending === undefined || pending === '') return;
  let last: T;
  try {
    last = JSON.parse(pending) as T;
  } catch {
    return;
  }
  yield last;
}

function parse<T>(line: string, file: string, number: number): T {
  try {
    return JSON.parse(line) as T;
  } catch {
    throw new SyntaxError(`${file}, line ${number}: not JSON`);
  }
}
