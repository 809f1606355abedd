import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createKey } from '../../src/http/keys.ts';

/** Made once per folder and kept there, readable by this user alone. */
export class Secrets {
  readonly #folder: string;

  constructor(directory: string) {
    this.#folder = join(directory, 'secrets');
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
  }

  /** Path of the file that holds the secret, made if missing. */
  file(name: string, make: () => string = () => randomBytes(32).toString('base64url')): string {
    const path = join(this.#folder, name);
    if (!existsSync(path)) this.write(name, make());
    return path;
  }

  read(name: string, make?: () => string): string {
    return readFileSync(this.file(name, make), 'utf8').trim();
  }

  write(name: string, text: string): string {
    const path = join(this.#folder, name);
    writeFileSync(path, `${text}\n`, { mode: 0o600 });
    return path;
  }

  /** The key that may do everything at the HTTP API. */
  apiKey(): string {
    return this.read('api-key', () => createKey().key);
  }
}
