/** Steps of an engine's wall clock, by libfaketime where it is installed. Its monotonic clock stays as it is. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const PLACES = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].flatMap((triplet) => [
  `/usr/lib/${triplet}/faketime/libfaketime.so.1`,
]);

/** How long libfaketime goes by what it has read. */
export const NOTICED_AFTER_MS = 1_000;

export class WallClocks {
  readonly #library: string | null;
  readonly #directory: string;

  constructor(directory: string, library: string | null = findLibrary()) {
    this.#directory = directory;
    this.#library = library;
  }

  /** What a process has to be started with, so that its clock can be set. */
  environment(name: string): Readonly<Record<string, string>> {
    if (this.#library === null) return {};
    this.set(name, 0);
    return {
      LD_PRELOAD: this.#library,
      FAKETIME_TIMESTAMP_FILE: this.#file(name),
      FAKETIME_CACHE_DURATION: String(NOTICED_AFTER_MS / 1_000),
      DONT_FAKE_MONOTONIC: '1',
    };
  }

  /** So many seconds off the real time, within a second. */
  set(name: string, seconds: number): void {
    writeFileSync(this.#file(name), `${seconds < 0 ? '-' : '+'}${Math.abs(seconds)}s\n`);
  }

  #file(name: string): string {
    return join(this.#directory, `${name}.clock`);
  }
}

/** Null where it is not installed. */
export function findLibrary(): string | null {
  return PLACES.find((path) => existsSync(path)) ?? null;
}
