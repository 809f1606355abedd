/** What the HTTP side needs of the engine and of the process. */
import type { EntryPlace } from '../engine/buffer-entry.ts';
import type { Buffered } from '../engine/buffer-publishing.ts';
import type { FleetOperations } from '../engine/fleet-operations.ts';
import type { Refused } from '../engine/intake.ts';
import type { FindChannel, NewMessageDraft } from '../engine/message.ts';
import type { ChannelKey, IntakeResult, RefusedCall, SharedBudgets, WebhookCall } from '../engine/ports.ts';
import type { RoomKey } from '../room/room.ts';
import type { Log, Metrics } from '../telemetry.ts';
import type { ChannelAdmin } from './channel-admin.ts';
import type { DevelopmentDesk } from './development.ts';
import type { LiveHub } from './live-hub.ts';
import type { BufferDesk } from './operator-buffer.ts';
import type { PipelineAnswers } from './pipeline-answers.ts';
import type { ChannelView, MessageView, Readiness, RoomMessageView, RoomView } from './schemas.ts';
import type { SteeringDesk } from './steering.ts';

export type WebhookReceipt =
  /** Everything that the call carried is on disk. */
  { readonly kind: 'stored'; readonly statuses: number } | RefusedCall | { readonly kind: 'unknown_channel' };

export interface Page {
  /** Only sequences below it; null for the newest. */
  readonly before: number | null;
  readonly limit: number;
}

export interface HttpDependencies {
  /** Engine time in whole ms: what answers are as of. */
  readonly now: () => number;
  readonly findChannel: FindChannel;
  /** Resolves after the commit, or after the append to the buffer. @throws RoomlineError `overloaded`, with nothing accepted */
  readonly publish: (draft: NewMessageDraft) => Promise<IntakeResult | Buffered>;
  /** Likewise, in the order of the drafts. */
  readonly publishAll: (drafts: readonly NewMessageDraft[]) => Promise<readonly (IntakeResult | Buffered | Refused)[]>;
  /** Null for an id that is no reference of ours, or of a message whose history has gone. */
  readonly findMessage: (id: string) => Promise<MessageView | null>;
  readonly findRoom: (key: RoomKey) => Promise<RoomView | null>;
  /** A message by its publisher's id, wherever it is, in the buffer by its place there; null where its room has none such. */
  readonly findRoomMessage: (key: RoomKey, messageId: string, place?: EntryPlace) => Promise<RoomMessageView | null>;
  /** Newest first, at most `limit`; null where there is no such room. */
  readonly listMessages: (key: RoomKey, page: Page) => Promise<readonly MessageView[] | null>;
  readonly channels: () => readonly ChannelView[];
  /** Absent: channels are configured in files only. */
  readonly channelAdmin?: ChannelAdmin;
  /** Absent: nothing is told of stages, lingering rooms and charts. */
  readonly pipeline?: PipelineAnswers;
  /** Absent: nothing is told of workers and shards. */
  readonly fleet?: FleetOperations;
  /** Absent: messages are not buffered. */
  readonly buffer?: BufferDesk;
  /** Absent: rooms and messages cannot be steered, and dead letters not be seen. */
  readonly steering?: SteeringDesk;
  /** Absent: there is no live feed. */
  readonly live?: LiveHub;
  /** Absent: this is no development mode. */
  readonly development?: DevelopmentDesk;
  /**
   * Resolves once everything that the call carries is on disk.
   * @throws RoomlineError where nothing of it can be read, or where the store is away (`not_ready`)
   */
  readonly receiveWebhook: (channel: ChannelKey, call: WebhookCall) => Promise<WebhookReceipt>;
  /** The answer to a platform that asks by GET whether a webhook address is ours; null where it must not be given. */
  readonly answerHandshake: (channel: ChannelKey, call: WebhookCall) => string | null;
  readonly readiness: () => Promise<readonly Readiness[]>;
  readonly metricsText: () => Promise<{ readonly contentType: string; readonly text: string }>;
  /** Absent or null: each process keeps the limits of keys by itself. */
  readonly sharedBudgets?: SharedBudgets | null;
  /** In ms, for the limits of keys; the process's own clock where it is absent. */
  readonly monotonicMs?: () => number;
  /** Unix time in ms, for the expiry of keys. */
  readonly wallClockMs: () => number;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'intakeRefused' | 'webhooks'>;
}
