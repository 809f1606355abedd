import type { IncomingHttpHeaders } from 'node:http';
import type { SignatureMode } from './ground-truth.ts';
import type { Message, StatusError, StatusName } from './message.ts';
import type { Draws } from './random.ts';
import type { ChannelKnobs, Refusal, Settings, SettingsPatch } from './settings.ts';
import type { UploadFormat } from './uploads.ts';

/** A send request as one platform's wire format carries it. */
export interface SendRequest {
  /** The sender's own name for the message; where the format carries none, one that every copy of it gives. */
  reference: string;
  /** Where the statuses of this message go, where each request says so. */
  callbackUrl?: string;
  /** Who sends, as the platform names it: a number's id, a page's. Statuses repeat it. */
  sender?: string;
  /** Allowed only so long after the user wrote: `send.windowOpen` decides. */
  freeForm?: boolean;
  to: string;
  /** The recipient is a group: `groupLimit` holds, too. */
  toGroup?: boolean;
  /** Counted apart by the platform: `heavyLimit` holds, too. */
  heavy?: boolean;
  content: unknown;
  /** The text a marker may stand in, and that decides whether the message is long. */
  text: string | undefined;
  /** Files that were uploaded before, by their ids. */
  mediaIds?: string[];
  /** It links to what the platform has to fetch. */
  linked?: boolean;
  /** Arrives later than a short text. */
  media: boolean;
  /** What becomes of it after `sent` is never told. */
  sentAtMost?: boolean;
  /** The publisher's name for the message, if its content carries one. */
  key: string | undefined;
  /** Its run, likewise. */
  run: string | undefined;
}

/** What a request's head says about the sender's attempt; none of it is trusted. */
export interface AttemptHead {
  reference: string | undefined;
  attempt: number | undefined;
  worker: string | undefined;
  generation: string | undefined;
}

export interface Answer {
  status: number;
  /** Name, value, name, value … as node:http takes them. */
  headers: string[];
  body: string;
}

/** One status to be told by a webhook. */
export interface StatusItem {
  message: Message;
  status: StatusName;
  /** Milliseconds, already falsified if a knob says so. */
  at: number | undefined;
  error: StatusError | undefined;
  /** Covers every earlier message of the recipient: as a cumulative status, or as a watermark in milliseconds. */
  cumulative: boolean;
  watermark: number | undefined;
}

export interface Secrets {
  present: string;
  previous: string | undefined;
}

/** Everything about one platform's wire format. The behaviour behind it (phones, faults, delivery) is common to all. */
export interface Profile {
  readonly name: string;
  /** The platform's limits, delays and rules for repeated webhooks, laid over the defaults before anybody's own settings. */
  readonly settings: SettingsPatch;
  /** What a path asks for; undefined: there is no such endpoint. */
  route(method: string, path: string): 'send' | 'lookup' | 'other' | undefined;
  /** What shows who asks: the token of a channel in the settings. */
  credential(headers: IncomingHttpHeaders, path: string): string | undefined;
  /** Files that are uploaded before the messages that name them. */
  readonly uploads?: UploadFormat;
  readAttempt(headers: IncomingHttpHeaders): AttemptHead;
  /** The request, or why it is refused (with the HTTP status that the platform documents). */
  readSend(
    headers: IncomingHttpHeaders,
    body: Buffer,
    knobs: ChannelKnobs,
    path: string,
  ): SendRequest | { refusal: Refusal };
  /** Answers what `route` calls `other`. */
  other?(request: OtherRequest): Answer;
  /** The id of an accepted message, where the format asks for one of its own kind. `no` counts from 1 over all channels. */
  id?(message: { no: number; boot: number; draws: Draws }): string;
  accepted(message: Message, duplicate: boolean): Answer;
  refused(refusal: Refusal, nowMs: number): Answer;
  /** Whether a refusal tells the sender that the message was definitely not accepted, and whether it is final for the message. */
  judge(refusal: Refusal): { definite: boolean; permanent: boolean };
  /** How free-form content is refused where the user has not written for too long; without it there is no such rule. */
  readonly outsideWindow?: Refusal;
  /** The code by which it fails after its acceptance, where the platform accepts it all the same. */
  readonly failsOutsideWindow?: string;
  /** The reference that a lookup asks for. */
  lookupReference(path: string): string | undefined;
  lookedUp(message: Message | undefined): Answer;
  item(item: StatusItem): unknown;
  /** An item that no correct sender would produce; for `extraFields`, what is added to a correct one. */
  junk(kind: keyof ChannelKnobs['webhooks']['junk'], salt: string): unknown;
  /** Something that a user wrote, as an item of a webhook call. */
  inbound?(salt: string): unknown;
  webhookBody(items: unknown[]): string;
  /** A webhook call tells of one thing: what else there is to tell goes in calls of its own. */
  readonly single?: boolean;
  /** Whether a call that failed is told again, where its address says so, or the platform has a rule of its own. */
  repeats?(call: FailedCall): boolean;
  /** Headers (name, value, …) and body as they leave; a tampered call's body differs from what was signed. */
  sign(call: UnsignedCall): { headers: string[]; body: string };
  /** The path and query by which the platform asks whether a webhook address is the channel's, and the answer it wants. */
  challenge?(channel: { verifyToken: string; challenge: string }): { query: string; answer: string };
}

/** A question that sends nothing. */
export interface OtherRequest {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  /** Undefined where the credential is nobody's. */
  channel: string | undefined;
  channels: Settings['channels'];
  wallMs: number;
}

export interface FailedCall {
  /** Where it went, with the fragment. */
  url: string;
  /** How many there were already, this one included. */
  attempt: number;
  /** 0: there was no answer, and `error` says why; `DEADLINE` is no whole answer in time. */
  status: number;
  error?: string;
}

export interface UnsignedCall {
  id: string;
  nowMs: number;
  /** Where it goes, with its query. */
  url: string;
  body: string;
  secrets: Secrets;
  both: boolean;
  mode: SignatureMode;
}
