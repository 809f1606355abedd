import {
  closeSync,
  createReadStream,
  existsSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';

type Committed = (error?: Error) => void;

const REWRITE_CHUNK_CHARS = 1 << 20;

/**
 * An append-only file of JSON lines. What was appended in one turn of the event loop is written together, and each
 * writer hears of it afterwards, in order. A process killed at any moment loses nothing that was committed.
 */
export class Journal {
  readonly #path: string;
  /** Also ask the disk: needed only to survive the machine, not the process. */
  readonly #sync: boolean;
  #fd: number;
  #size: number;
  #lines: string[] = [];
  #waiting: Committed[] = [];
  #flush: NodeJS.Immediate | null = null;

  private constructor(path: string, sync: boolean) {
    this.#path = path;
    this.#sync = sync;
    this.#fd = openSync(path, 'a');
    this.#size = fstatSync(this.#fd).size;
  }

  /** Opens the file, making it and its folder if need be. */
  static open(path: string, sync: boolean): Journal {
    mkdirSync(dirname(path), { recursive: true });
    return new Journal(path, sync);
  }

  /**
   * The records of a file, oldest first; none if there is no file. A last line that does not parse was cut off by
   * the end of its process and is passed over. @throws Error on any other broken line.
   */
  static async *read(path: string): AsyncGenerator<unknown> {
    if (!existsSync(path)) return;
    const lines = createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY });
    let number = 0;
    let broken: Error | null = null;
    for await (const line of lines) {
      if (broken) throw broken;
      number++;
      try {
        yield JSON.parse(line);
      } catch (cause) {
        broken = new Error(`${path}, line ${number} is not a record of this server`, { cause });
      }
    }
  }

  /** Bytes in the file. */
  get size(): number {
    return this.#size;
  }

  /** Adds a record and says when it is in the file; with an error, it is not and never will be. */
  append(record: unknown, committed: Committed): void {
    this.#lines.push(JSON.stringify(record));
    this.#waiting.push(committed);
    this.#flush ??= setImmediate(() => this.flush());
  }

  /** Writes what waits, now. */
  flush(): void {
    if (this.#flush) clearImmediate(this.#flush);
    this.#flush = null;
    if (this.#lines.length === 0) return;
    const text = `${this.#lines.join('\n')}\n`;
    const waiting = this.#waiting;
    this.#lines = [];
    this.#waiting = [];
    const failure = this.#write(text);
    for (const committed of waiting) committed(failure);
  }

  /**
   * Puts these records in the place of all that are committed; what waits follows them. A crash leaves either the old
   * file or the new one.
   */
  rewrite(records: Iterable<unknown>): void {
    const next = `${this.#path}.next`;
    const fd = openSync(next, 'w');
    let text = '';
    for (const record of records) {
      text += `${JSON.stringify(record)}\n`;
      if (text.length < REWRITE_CHUNK_CHARS) continue;
      writeAll(fd, text);
      text = '';
    }
    writeAll(fd, text);
    fdatasyncSync(fd);
    closeSync(fd);
    renameSync(next, this.#path);
    closeSync(this.#fd);
    this.#fd = openSync(this.#path, 'a');
    this.#size = fstatSync(this.#fd).size;
  }

  close(): void {
    this.flush();
    closeSync(this.#fd);
  }

  #write(text: string): Error | undefined {
    try {
      const written = writeAll(this.#fd, text);
      if (this.#sync) fdatasyncSync(this.#fd);
      this.#size += written;
      return undefined;
    } catch (error) {
      // Half a batch must not stay behind: what follows it would make it a broken line in the middle.
      ftruncateSync(this.#fd, this.#size);
      return error as Error;
    }
  }
}

function writeAll(fd: number, text: string): number {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
  return bytes.length;
}
