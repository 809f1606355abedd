import type { Draws } from './random.ts';
import type { MessageKnobs } from './settings.ts';

export type StatusName = 'sent' | 'delivered' | 'read' | 'failed';

export interface StatusError {
  code: string;
  scope: string;
  permanent: boolean;
}

/** An accepted copy of a message. */
export interface Message {
  /** Number in the ground truth. */
  readonly no: number;
  readonly id: string;
  readonly reference: string;
  /** Where its statuses go instead of to the channel's webhook. */
  readonly callbackUrl: string | undefined;
  /** Who sent it, as the platform names it. */
  readonly sender: string | undefined;
  readonly channel: string;
  readonly recipient: Recipient;
  /** Unix time, rising strictly per recipient so that a watermark is exact. */
  readonly acceptedAt: number;
  readonly acceptedMono: number;
  readonly knobs: MessageKnobs;
  readonly draws: Draws;
  /** Media or a long text: arrives later. */
  readonly slow: boolean;
  /** The highest status reached, whether or not a webhook told it. */
  status: 'accepted' | StatusName;
  error: StatusError | undefined;
  /** Further accepted copies of the same reference; each has a fate of its own. */
  copies: number;
  /** Arrived, dropped or failed: nothing more will appear on the phone. */
  gone: boolean;
  /** Statuses wait here until the send has been answered; undefined from then on. */
  unanswered: (() => void)[] | undefined;
  /** Statuses held back by `outOfOrder`. */
  heldBack: StatusName[] | undefined;
  /** Statuses still to be told before the send is answered; undefined for most messages. */
  early: Set<StatusName> | undefined;
  /** Called when the last of `early` has been told. */
  onEarlyTold: (() => void) | undefined;
}

/** One phone, as one channel sees it. */
export interface Recipient {
  readonly to: string;
  readonly channel: string;
  /** Messages seen so far, refused ones included; retries do not count. */
  nth: number;
  lastReference: string | undefined;
  /** Messages shown so far. */
  order: number;
  lastAcceptedAt: number;
  /** Accepted messages in order, from the first one that is not gone. */
  readonly inFlight: Message[];
  /** The last message of the gap-free beginning that is gone. */
  covered: Message | undefined;
  /** `acceptedAt` of the latest message whose delivery a webhook call has told; 0 before. */
  toldUntil: number;
  /** Arrived while the phone was offline, in order. */
  readonly waiting: Message[];
}

export const newRecipient = (channel: string, to: string): Recipient => ({
  to,
  channel,
  nth: 0,
  lastReference: undefined,
  order: 0,
  lastAcceptedAt: 0,
  inFlight: [],
  covered: undefined,
  toldUntil: 0,
  waiting: [],
});
