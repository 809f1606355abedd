import type { FinalRow, Published } from './types.ts';

/** What became of one receipt, as far as its sender could know. */
export type ReceiptFate = 'open' | 'answered' | 'refused' | 'unknown';

/** One life of a worker between two changes of its fence; each is one object, so that they compare by identity. */
export interface Sender {
  readonly worker: string;
  readonly generation: number;
}

export interface Receipt {
  readonly at: number;
  fate: ReceiptFate;
  readonly decision: string;
  readonly held: boolean;
  readonly permanent: boolean;
  readonly attempt: number | undefined;
  readonly sender: Sender | undefined;
  /** The platform's id for what it accepted. */
  readonly platformId: string | undefined;
  /** It came after a later message, and nothing excuses that: C7 speaks of it, nobody else. */
  inexcusable: boolean;
}

/** A receipt that came after a later message of its room had begun. */
export interface LateReceipt {
  readonly message: MessageState;
  readonly receipt: Receipt;
  /** Who had begun that later message. */
  readonly holder: Sender | undefined;
  readonly first: boolean;
  /** The later message had begun so shortly before that both were under way at once. */
  readonly raced: boolean;
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
  /** Calls that told an unlocking status and were not refused; below 0: a lookup or the platform's answer did. */
  readonly unlocks: Set<number>;
  /** When the first of those began. */
  unlockedAt: number | undefined;
  /** How the message was closed when its successor began. */
  closedBy: 'ack' | 'other' | undefined;
  /** The highest level that a call or a lookup told, by number; and of cumulative ones, which hold for earlier messages. */
  told: number;
  toldAll: number;
  /** By level: when a call that told it, or a cumulative one, was first answered 2xx. */
  taught: number[] | undefined;
  taughtAll: number[] | undefined;
  /** When a call that tells of a failure was first answered 2xx. */
  taughtFailureAt: number | undefined;
  shown: number;
  displaced: boolean;
  row: FinalRow | undefined;
}

export interface RoomState {
  readonly no: number;
  readonly messages: MessageState[];
  readonly late: LateReceipt[];
  /** C10 looks at it. */
  readonly untouched: boolean;
  to: string | undefined;
  /** The highest index that has begun, and who began it. */
  begun: number;
  begunAt: number;
  holder: Sender | undefined;
  /** The highest index that a phone has shown. */
  shown: number;
  lastActivityAt: number;
  /** In which order its attempts were claimed by whom, by the history; of one that came back, its last turn. */
  holders: Map<Sender, number> | undefined;
}

export const newRoom = (no: number, untouched: boolean): RoomState => ({
  no,
  messages: [],
  late: [],
  untouched,
  to: undefined,
  begun: -1,
  begunAt: 0,
  holder: undefined,
  shown: -1,
  lastActivityAt: 0,
  holders: undefined,
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
  unlockedAt: undefined,
  closedBy: undefined,
  told: 0,
  toldAll: 0,
  taught: undefined,
  taughtAll: undefined,
  taughtFailureAt: undefined,
  shown: 0,
  displaced: false,
  row: undefined,
});

/** The receipt whose sending began last; one that the network held began before the others. */
export const lastBegun = (message: MessageState): Receipt | undefined =>
  message.receipts.findLast(({ held }) => !held) ?? message.receipts.at(-1);

/** By the final state, or else by how it was closed. */
export const isAcked = ({ row, closedBy }: MessageState): boolean =>
  row ? row.outcome === 'acked' : closedBy === 'ack';

/** Gives the same object for the same life of a worker. */
export class Senders {
  readonly #known = new Map<string, Map<number, Sender>>();

  of(worker: string | undefined, generation: number): Sender | undefined {
    if (worker === undefined) return undefined;
    let lives = this.#known.get(worker);
    if (lives === undefined) {
      lives = new Map();
      this.#known.set(worker, lives);
    }
    let sender = lives.get(generation);
    if (sender === undefined) {
      sender = { worker, generation };
      lives.set(generation, sender);
    }
    return sender;
  }
}
