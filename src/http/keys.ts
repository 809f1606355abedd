import { randomBytes as cryptoRandomBytes, hash as hashOf, timingSafeEqual } from 'node:crypto';
import type { RateLimit } from '../engine/ports.ts';
import { RoomlineError } from '../errors.ts';

/** What a key may do: hand in messages, look at them, or act as an operator. */
export const SCOPES = ['publish', 'read', 'operate'] as const;
export type Scope = (typeof SCOPES)[number];

/** A key as the configuration holds it: never the key itself. */
export interface StoredKey {
  readonly name: string;
  /** `sha256:` and 64 hexadecimal digits: the digest of the whole key. */
  readonly hash: string;
  readonly scopes: readonly Scope[];
  /** RFC 3339 time from which the key is refused. */
  readonly expiresAt?: string;
  /** The only tenants that there are for it; all where it is absent. */
  readonly tenants?: readonly string[];
  /** What it may ask for in a second; no limit where it is absent. */
  readonly limits?: KeyLimits;
}

/** 0 per second is no limit. */
export interface KeyLimits {
  readonly requests?: RateLimit;
  /** Messages handed in, by themselves or in batches. */
  readonly messages?: RateLimit;
}

export interface Identity {
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Null for all. */
  readonly tenants: readonly string[] | null;
}

export interface CreatedKey {
  /** Shown once to whoever asked for it; cannot be had again. */
  readonly key: string;
  /** The readable part: tells keys apart without revealing them. */
  readonly id: string;
  readonly hash: string;
}

const ID_ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const KEY_PATTERN = /^rl_[a-z2-7]{8}_[A-Za-z0-9_-]{43}$/;
const BEARER_PATTERN = /^Bearer ([!-~]{1,256})$/i;

/** Makes a key of 256 random bits: `rl_<8 characters>_<43 characters of base64url>`. */
export function createKey(randomBytes: (size: number) => Uint8Array = cryptoRandomBytes): CreatedKey {
  const id = Array.from(randomBytes(8), (byte) => ID_ALPHABET[byte % 32]).join('');
  const key = `rl_${id}_${Buffer.from(randomBytes(32)).toString('base64url')}`;
  return { key, id, hash: hashKey(key) };
}

/** The form in which a key is stored. A fast hash is enough: the key itself has 256 random bits. */
export function hashKey(key: string): string {
  return `sha256:${digest(key).toString('hex')}`;
}

/**
 * Who sent the request, from its `Authorization` header. Compares with every stored key in constant time.
 * @throws RoomlineError `unauthorized`, with the same text for a missing, unknown or expired key.
 */
export function verifyKey(header: string | undefined, keys: readonly StoredKey[], nowMs: number): Identity {
  const presented = BEARER_PATTERN.exec(header ?? '')?.[1];
  if (presented === undefined || !KEY_PATTERN.test(presented)) throw new RoomlineError('unauthorized');
  const presentedDigest = digest(presented);
  let match: StoredKey | undefined;
  for (const key of keys) {
    if (timingSafeEqual(presentedDigest, storedDigest(key))) match = key;
  }
  if (match === undefined) throw new RoomlineError('unauthorized');
  if (match.expiresAt !== undefined && nowMs >= Date.parse(match.expiresAt)) throw new RoomlineError('unauthorized');
  return { name: match.name, scopes: match.scopes, tenants: match.tenants ?? null };
}

/** @throws RoomlineError `forbidden_scope` */
export function requireScope(identity: Identity, scope: Scope): void {
  if (identity.scopes.includes(scope)) return;
  throw new RoomlineError('forbidden_scope', { rule: `needs the scope "${scope}"` });
}

const digests = new WeakMap<StoredKey, Buffer>();

/** Every request asks for it. */
function storedDigest(key: StoredKey): Buffer {
  let known = digests.get(key);
  if (known === undefined) {
    known = Buffer.from(key.hash.slice('sha256:'.length), 'hex');
    digests.set(key, known);
  }
  return known;
}

function digest(text: string): Buffer {
  return hashOf('sha256', text, 'buffer');
}
