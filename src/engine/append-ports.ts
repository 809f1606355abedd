/** A message on its way into its room: what intake hands to the store, and what became of it. All times are engine time in ms. */
import type { Phase, RoomAddress, RoomKey, RoomRow } from '../room/room.ts';

/** The largest number of a publisher's order: the next one is still exact. */
export const MAX_ORDER = Number.MAX_SAFE_INTEGER - 1;

/** A message as intake hands it to the store; already validated. */
export interface NewMessage {
  readonly key: RoomKey;
  readonly shard: number;
  /** The publisher's id, unique within its room; 1 to 256 bytes. */
  readonly messageId: string;
  /**
   * UTF-8 JSON `{"to": …, "content": …}`: what the platform's adapter turns into its request. A `requestId` ahead of that
   * is of the HTTP request that brought it, and goes to the platform beside the body.
   */
  readonly body: Uint8Array;
  /** SHA-256 of `body` without the request id, and of the publisher's order where there is one: `contentDigest`. */
  readonly digest: Uint8Array;
  readonly acceptedAt: number;
  readonly notBefore: number | null;
  readonly expiresAt: number | null;
  readonly ackTimeoutMs: number | null;
  readonly failurePolicy: 'move_on' | 'hold' | null;
  /** Id of an earlier message of the room that this one replaces, if no attempt of it has begun. Not stored. */
  readonly supersedes: string | null;
  readonly source: 'pubsub' | 'http' | 'buffer';
  /** Whom the body goes to, where that is not the room's name; left out where it is. Not stored with the message. */
  readonly to?: string;
  /** The publisher's own number within the room, 1 to `MAX_ORDER`; left out where it has none. */
  readonly order?: number;
}

/** Something is parked in the room, because numbers of its publisher's order are missing. */
export interface Gap {
  /** The first of them. */
  readonly waitsFor: number;
  /** When the first message was parked behind this gap. */
  readonly since: number;
}

/** A room as an append has left it, with the raised tail: all of it where nothing was under way, else what it is known by. */
export type AppendedRow =
  | (RoomRow & { readonly phase: 'idle' })
  | (Pick<RoomRow, 'shard' | 'id' | 'key' | 'version' | 'tail'> & { readonly phase: Exclude<Phase, 'idle'> });

export type AppendResult =
  /**
   * `row` is the room as it was when this message's transaction committed. `late`: its number had been skipped. `gap`: the
   * one that the room has then.
   */
  | {
      readonly kind: 'appended';
      readonly row: AppendedRow;
      readonly sequence: number;
      readonly late?: true;
      readonly gap?: Gap;
    }
  /** It is stored, ahead of its turn. `duplicate`: it was before. */
  | {
      readonly kind: 'parked';
      readonly row: AppendedRow;
      readonly sequence: null;
      readonly order: number;
      readonly duplicate: boolean;
      readonly gap: Gap;
    }
  /** The same id, body and order were accepted before, as `sequence`. */
  | { readonly kind: 'duplicate'; readonly address: RoomAddress; readonly sequence: number }
  /** The same id came before with another body or order; null: it is parked, or was refused in this batch. */
  | { readonly kind: 'conflict'; readonly address: RoomAddress; readonly sequence: number | null }
  /** Another message has this number of the publisher's order. */
  | {
      readonly kind: 'order_conflict';
      readonly address: RoomAddress;
      readonly sequence: null;
      readonly order: number;
    };

/** A gap that is to be given up, while its room still waits for this number. */
export interface OpenGap extends RoomAddress {
  readonly waitsFor: number;
}

/** A room after its gap was to be given up. */
export interface Skipped {
  readonly tail: number;
  /** The next one, if something is still parked. */
  readonly gap: Gap | null;
  /** The numbers that were given up; null where the room waited for another one by then, or for none. */
  readonly skipped: { readonly first: number; readonly last: number } | null;
}

/** Where a message is that was asked for by its id. */
export type FoundMessage =
  | { readonly kind: 'numbered'; readonly sequence: number }
  | {
      readonly kind: 'parked';
      readonly order: number;
      readonly acceptedAt: number;
      readonly notBefore: number | null;
      readonly expiresAt: number | null;
      readonly body: Uint8Array;
    };

/** What is known of a message's place in its publisher's order; nothing where it has none. */
export interface PublishersOrder {
  readonly order?: number;
  /** It came after its number had been skipped. */
  readonly late?: true;
}

/** The outcome of an append, for those who wait for it: Pub/Sub's ack, HTTP's answer. */
export type IntakeResult =
  | {
      readonly kind: 'accepted';
      readonly address: RoomAddress;
      readonly sequence: number;
      readonly reference: string;
      readonly duplicate: boolean;
      /** Its number in its publisher's order had been skipped. */
      readonly late?: true;
    }
  /** Durable, ahead of its turn: `waitsFor` is the number that its room waits for. */
  | {
      readonly kind: 'parked';
      readonly address: RoomAddress;
      readonly sequence: null;
      /** The publisher's, or the one that it was given in its place. */
      readonly messageId: string;
      readonly order: number;
      readonly waitsFor: number;
      readonly duplicate: boolean;
    }
  /** Null where the message that has the id is parked. */
  | { readonly kind: 'conflict'; readonly sequence: number | null; readonly reference: string | null }
  | { readonly kind: 'order_conflict'; readonly sequence: null; readonly order: number };
