import type { FinalRow, Published } from './types.ts';

/** What became of one receipt, as far as its sender could know. */
export type ReceiptFate = 'open' | 'answered' | 'refused' | 'unknown';

export interface Receipt {
  r: number;
  at: number;
  fate: ReceiptFate;
  decision: string;
  held: boolean;
  permanent: boolean;
}

export interface MessageState {
  readonly published: Published;
  readonly room: RoomState;
  /** Position in the room, in publish order. */
  readonly index: number;
  readonly receipts: Receipt[];
  /** Line of the first receipt in the log. */
  firstLine: number | undefined;
  reference: string | undefined;
  hash: string | undefined;
  taken: boolean;
  refusedForGood: boolean;
  nacked: boolean;
  /** From when on the ack timeout counts: the platform's answer, or the first other proof that it has the message. */
  knownTakenAt: number | undefined;
  /** Calls that told an unlocking status and were not refused; -1: a lookup did. */
  readonly unlocks: Set<number>;
  /** How the message was closed when its successor began. */
  closedBy: 'ack' | 'other' | undefined;
  shown: number;
  displaced: boolean;
  row: FinalRow | undefined;
}

export interface RoomState {
  readonly no: number;
  readonly messages: MessageState[];
  to: string | undefined;
  /** The highest index that has begun, and who began it. */
  begun: number;
  begunAt: number;
  worker: string | undefined;
  generation: number;
  /** The highest index that a phone has shown. */
  shown: number;
  lastActivityAt: number;
}

export const newRoom = (no: number): RoomState => ({
  no,
  messages: [],
  to: undefined,
  begun: -1,
  begunAt: 0,
  worker: undefined,
  generation: 0,
  shown: -1,
  lastActivityAt: 0,
});

export const newMessage = (published: Published, room: RoomState): MessageState => ({
  published,
  room,
  index: room.messages.length,
  receipts: [],
  firstLine: undefined,
  reference: undefined,
  hash: undefined,
  taken: false,
  refusedForGood: false,
  nacked: false,
  knownTakenAt: undefined,
  unlocks: new Set(),
  closedBy: undefined,
  shown: 0,
  displaced: false,
  row: undefined,
});

/** The receipt whose sending began last; one that the network held began before the others. */
export const lastBegun = (message: MessageState): Receipt | undefined =>
  message.receipts.findLast(({ held }) => !held) ?? message.receipts.at(-1);
