import { appendFileSync, writeFileSync } from 'node:fs';
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
    writeFileSync(file, '', { mode: 0o600 });
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
    for (const { key, room, run, hash } of this.#entries) {
      yield { key, room, run, hash, accepted: this.#confirmed.has(key) };
    }
  }

  /** Every message as it was published, and whether it was confirmed. */
  *accounts(): Generator<PublishedMessage & { readonly accepted: boolean }> {
    for (const entry of this.#entries) yield { ...entry, accepted: this.#confirmed.has(entry.key) };
  }

  #write(lines: readonly object[]): void {
    appendFileSync(this.#file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  }
}
