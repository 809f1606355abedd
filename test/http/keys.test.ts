import { describe, expect, it } from 'vitest';
import { RoomlineError } from '../../src/errors.ts';
import { createKey, hashKey, requireScope, type StoredKey, verifyKey } from '../../src/http/keys.ts';

const NOW_MS = Date.UTC(2026, 0, 1);

function stored(name: string, change: Partial<StoredKey> = {}): { key: string; entry: StoredKey } {
  const { key, hash } = createKey();
  return { key, entry: { name, hash, scopes: ['publish'], ...change } };
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof RoomlineError) return error.code;
    throw error;
  }
  return 'accepted';
}

describe('createKey', () => {
  it('makes keys of the documented form and returns the hash that is stored', () => {
    const { key, id, hash } = createKey();
    expect(key).toMatch(/^rl_[a-z2-7]{8}_[A-Za-z0-9_-]{43}$/);
    expect(key.split('_')[1]).toBe(id);
    expect(hash).toBe(hashKey(key));
    expect(hash).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(hash).not.toContain(key);
  });

  it('takes all 256 bits from the given source of chance', () => {
    const asked: number[] = [];
    const { key } = createKey((size) => {
      asked.push(size);
      return new Uint8Array(size).fill(255);
    });
    expect(asked).toEqual([8, 32]);
    expect(key).toBe(`rl_77777777_${Buffer.alloc(32, 255).toString('base64url')}`);
  });
});

describe('verifyKey', () => {
  const first = stored('first');
  const second = stored('second', { scopes: ['read', 'operate'] });
  const keys = [first.entry, second.entry];

  it.each([
    ['the first key', first, 'Bearer'],
    ['a later key', second, 'Bearer'],
    ['a lower-case scheme', second, 'bearer'],
  ])('knows %s', (_what, { key, entry }, scheme) => {
    expect(verifyKey(`${scheme} ${key}`, keys, NOW_MS)).toEqual({
      name: entry.name,
      scopes: entry.scopes,
      tenants: null,
    });
  });

  it.each([
    ['no header', undefined],
    ['an empty header', ''],
    ['another scheme', `Basic ${first.key}`],
    ['no scheme', first.key],
    ['an unknown key', `Bearer ${createKey().key}`],
    ['a key cut short', `Bearer ${first.key.slice(0, -1)}`],
    ['a key with more behind it', `Bearer ${first.key}A`],
    ['the stored hash itself', `Bearer ${first.entry.hash}`],
    ['two keys', `Bearer ${first.key} ${second.key}`],
    ['a very long text', `Bearer ${'a'.repeat(100_000)}`],
  ])('refuses %s', (_what, header) => {
    expect(codeOf(() => verifyKey(header, keys, NOW_MS))).toBe('unauthorized');
  });

  it('refuses everything where no key is configured', () => {
    expect(codeOf(() => verifyKey(`Bearer ${first.key}`, [], NOW_MS))).toBe('unauthorized');
  });

  it('refuses a key from the moment it expires, and says no more than for an unknown one', () => {
    const { key, entry } = stored('short-lived', { expiresAt: '2026-01-01T00:00:00Z' });
    expect(verifyKey(`Bearer ${key}`, [entry], NOW_MS - 1).name).toBe('short-lived');
    const messages = [key, createKey().key].map((each) => {
      try {
        return verifyKey(`Bearer ${each}`, [entry], NOW_MS);
      } catch (error) {
        return String(error);
      }
    });
    expect(messages[0]).toBe(messages[1]);
    expect(messages[0]).toContain('unauthorized');
  });
});

describe('requireScope', () => {
  it('lets a key do what its scopes name and nothing else', () => {
    const identity = { name: 'a', scopes: ['publish', 'read'] as const, tenants: null };
    expect(codeOf(() => requireScope(identity, 'publish'))).toBe('accepted');
    expect(codeOf(() => requireScope(identity, 'read'))).toBe('accepted');
    expect(codeOf(() => requireScope(identity, 'operate'))).toBe('forbidden_scope');
  });
});
