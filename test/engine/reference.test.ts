import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createReferences } from '../../src/engine/reference.ts';

const SECRET = 'a secret of at least 32 characters';
const references = createReferences(SECRET);
/** Another process, which has made none of them. */
const elsewhere = createReferences(SECRET);
const FORM = /^[A-Za-z0-9_-]{1,40}$/;

const target = fc.record({
  shard: fc.integer({ min: 0, max: 0xffff }),
  id: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  sequence: fc.integer({ min: 0, max: 2 ** 40 - 1 }),
});

describe('a reference', () => {
  it('leads back to its message', () => {
    fc.assert(
      fc.property(target, ({ shard, id, sequence }) => {
        const reference = references.encode({ shard, id }, sequence);
        expect(reference).toMatch(FORM);
        expect(references.decode(reference)).toEqual({ address: { shard, id }, sequence });
        expect(elsewhere.decode(reference)).toEqual({ address: { shard, id }, sequence });
        const sent = references.encodeToSend({ shard, id }, sequence);
        expect(sent).toBe(reference);
        expect(references.decode(sent)).toEqual({ address: { shard, id }, sequence });
      }),
    );
  });

  it('is the same for every attempt and another one for every message', () => {
    const address = { shard: 4095, id: 2 ** 48 - 1 };
    expect(references.encode(address, 1)).toBe(references.encode(address, 1));
    expect(references.encode(address, 2)).not.toBe(references.encode(address, 1));
  });

  it('means nothing to another secret', () => {
    const stranger = createReferences('another secret of 32 characters.');
    expect(stranger.decode(references.encode({ shard: 1, id: 2 }, 3))).toBeNull();
  });

  it('is refused when any character is changed', () => {
    const reference = references.encode({ shard: 17, id: 123_456 }, 7);
    for (let at = 0; at < reference.length; at++) {
      for (const other of ['A', 'z', '_', '5']) {
        if (reference[at] === other) continue;
        expect(references.decode(reference.slice(0, at) + other + reference.slice(at + 1))).toBeNull();
      }
    }
  });

  it('is refused in any other form', () => {
    const reference = references.encode({ shard: 17, id: 123_456 }, 7);
    const others = ['', reference.slice(1), `${reference}A`, `${reference}=`, ` ${reference}`, 'x'.repeat(100_000)];
    for (const other of others) expect(references.decode(other)).toBeNull();
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String()), (text) => {
        expect(references.decode(text)).toBeNull();
      }),
    );
  });

  it('refuses to name what it has no room for', () => {
    expect(() => references.encode({ shard: 65_536, id: 1 }, 1)).toThrow(RangeError);
    expect(() => references.encode({ shard: 1, id: 2 ** 48 }, 1)).toThrow(RangeError);
    expect(() => references.encode({ shard: 1, id: 1 }, 2 ** 40)).toThrow(RangeError);
  });
});
