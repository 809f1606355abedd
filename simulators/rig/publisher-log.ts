import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import type { Published } from '../oracle/types.ts';

/** What was published: the publisher's own account, which the oracle holds against the platform's. */
export interface PublishedMessage {
  /** Unique; the content's `key` and the message id alike. */
  readonly key: string;
  readonly room: string;
  readonly channel: string;
  readonly run: string;
  /** Digest of the content. */
  readonly hash: string;
}

/**
 * The publisher's log: a message before its request leaves, and its confirmation after the answer. What was never
 * confirmed may or may not have been taken.
 */
export class PublisherLog {
  readonly #file: string;
  readonly #entries: PublishedMessage[] = [];
  readonly #confirmed = new Set<string>();

  /** Begins a new log in this file. */
  constructor(file: string) {
    this.#file = file;
    writeFileSync(file, '');
  }

  get size(): number {
    return this.#entries.length;
  }

  get confirmed(): number {
    return this.#confirmed.size;
  }

  /** To be called in publish order per room. */
  publishing(messages: readonly PublishedMessage[]): void {
    this.#entries.push(...messages);
    this.#write(messages);
  }

  confirm(messages: readonly PublishedMessage[]): void {
    for (const { key } of messages) this.#confirmed.add(key);
    this.#write([{ confirmed: messages.map(({ key }) => key) }]);
  }

  /** For the oracle. */
  *entries(): Generator<Published> {
    for (const { key, room, hash } of this.#entries) {
      yield { key, room, hash, accepted: this.#confirmed.has(key) };
    }
  }

  #write(lines: readonly object[]): void {
    appendFileSync(this.#file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  }
}

/** Reads a log that an earlier process wrote; a last line that a kill cut short counts as never written. */
export function readPublisherLog(file: string): Published[] {
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  const entries: PublishedMessage[] = [];
  const confirmed = new Set<string>();
  for (const line of lines) {
    const parsed = JSON.parse(line) as PublishedMessage | { readonly confirmed: readonly string[] };
    if ('confirmed' in parsed) for (const key of parsed.confirmed) confirmed.add(key);
    else entries.push(parsed);
  }
  return entries.map(({ key, room, hash }) => ({ key, room, hash, accepted: confirmed.has(key) }));
}
