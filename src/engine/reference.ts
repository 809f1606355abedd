import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import type { RoomAddress } from '../room/room.ts';
import { Recent } from './recent.ts';

/** Where a message is to be found, as its reference tells without a look-up. */
export interface ReferenceTarget {
  readonly address: RoomAddress;
  readonly sequence: number;
}

/** Our opaque name for a message towards platforms and in the API: the same for all attempts, tells no recipient. */
export interface References {
  encode(address: RoomAddress, sequence: number): string;
  /** The same for what leaves now, whose acks bring it back soon. */
  encodeToSend(address: RoomAddress, sequence: number): string;
  /** Null for a text that this secret did not sign. */
  decode(reference: string): ReferenceTarget | null;
}

const SHARD_BYTES = 2;
const ID_BYTES = 6;
const SEQUENCE_BYTES = 5;
const CONTENT_BYTES = SHARD_BYTES + ID_BYTES + SEQUENCE_BYTES;
const CHECK_BYTES = 6;
/** So many of the references that were sent last are known without another check. */
const KNOWN = 16_384;
/** 19 bytes in base64url without padding. */
const REFERENCE = /^[A-Za-z0-9_-]{26}$/;

export function createReferences(secret: string): References {
  const key = createSecretKey(secret, 'utf8');
  const check = (content: Uint8Array): Buffer =>
    createHmac('sha256', key).update('reference:').update(content).digest().subarray(0, CHECK_BYTES);
  const encode: References['encode'] = ({ shard, id }, sequence) => {
    const content = Buffer.allocUnsafe(CONTENT_BYTES);
    content.writeUIntBE(shard, 0, SHARD_BYTES);
    content.writeUIntBE(id, SHARD_BYTES, ID_BYTES);
    content.writeUIntBE(sequence, SHARD_BYTES + ID_BYTES, SEQUENCE_BYTES);
    return Buffer.concat([content, check(content)]).toString('base64url');
  };
  // Acks name what was sent a moment ago: what this process has made itself needs no check.
  const known = new Recent<ReferenceTarget>(KNOWN);
  return {
    encode,
    encodeToSend({ shard, id }, sequence) {
      const reference = encode({ shard, id }, sequence);
      known.set(reference, { address: { shard, id }, sequence });
      return reference;
    },
    decode(reference) {
      const made = known.get(reference);
      if (made !== undefined) return made;
      if (!REFERENCE.test(reference)) return null;
      const bytes = Buffer.from(reference, 'base64url');
      // The last character carries spare bits: only the one form that `encode` gives is a reference.
      if (bytes.toString('base64url') !== reference) return null;
      const content = bytes.subarray(0, CONTENT_BYTES);
      if (!timingSafeEqual(bytes.subarray(CONTENT_BYTES), check(content))) return null;
      return {
        address: { shard: content.readUIntBE(0, SHARD_BYTES), id: content.readUIntBE(SHARD_BYTES, ID_BYTES) },
        sequence: content.readUIntBE(SHARD_BYTES + ID_BYTES, SEQUENCE_BYTES),
      };
    },
  };
}
