/** What the HTTP side asks, answered by the engine and its stores. */
import { randomUUID } from 'node:crypto';
import type { Engine } from '../engine/engine.ts';
import type { Refused } from '../engine/intake.ts';
import type { NewMessageDraft } from '../engine/message.ts';
import type { PipelineStore } from '../engine/pipeline-ports.ts';
import type {
  ChannelKey,
  Clock,
  HistoryEntry,
  IntakeResult,
  NewMessage,
  PlatformChannel,
  StatusItem,
  StoredRoom,
  Stores,
  WaitingMessage,
  WebhookCall,
} from '../engine/ports.ts';
import type { References } from '../engine/reference.ts';
import { RoomlineError } from '../errors.ts';
import type { RoomKey, RoomRow } from '../room/room.ts';
import { shardOf } from '../room/shard.ts';
import type { HttpDependencies, Page, WebhookReceipt } from './dependencies.ts';
import { fromStore } from './from-store.ts';
import { conditionOf, gapView } from './pipeline-answers.ts';
import type { MessageView, RoomMessageView, RoomView } from './schemas.ts';
import { viewOfParked, viewOfRoom, viewOfSettled, viewOfWaiting } from './views.ts';

export interface AnswerSources {
  readonly engine: Engine;
  readonly stores: Stores;
  readonly references: References;
  readonly clock: Clock;
  readonly shards: number;
  readonly platform: (key: ChannelKey) => PlatformChannel | null;
  readonly wallClockMs: () => number;
  /** Absent: only what this process itself holds counts as held. */
  readonly pipeline?: Pick<PipelineStore, 'heldShards'>;
}

type Answers = Pick<
  HttpDependencies,
  | 'now'
  | 'findChannel'
  | 'findMessage'
  | 'findRoom'
  | 'findRoomMessage'
  | 'listMessages'
  | 'channels'
  | 'receiveWebhook'
  | 'answerHandshake'
> & {
  /** After the commit, whatever the deployment's mode of acceptance. */
  readonly publish: (draft: NewMessageDraft) => Promise<IntakeResult>;
  readonly publishAll: (drafts: readonly NewMessageDraft[]) => Promise<readonly (IntakeResult | Refused)[]>;
};

/** Gives a checked draft what intake adds to it. */
export function admitted(
  draft: NewMessageDraft,
  by: {
    readonly shards: number;
    readonly now: number;
    readonly source: NewMessage['source'];
    readonly fallbackId: string;
  },
): NewMessage {
  const { messageId, ...rest } = draft;
  return {
    ...rest,
    messageId: messageId ?? by.fallbackId,
    shard: shardOf(draft.key, by.shards),
    acceptedAt: by.now,
    source: by.source,
  };
}

export function createAnswers(from: AnswerSources): Answers {
  const { engine, stores, references, clock, shards, platform, wallClockMs } = from;

  const timeNow = (): number => Math.floor(clock.now());

  const findStored = (key: RoomKey): Promise<StoredRoom | null> => stores.rooms.findRoom(key, shardOf(key, shards));

  async function findMessage(id: string): Promise<MessageView | null> {
    const target = references.decode(id);
    if (target === null) return null;
    const { address, sequence } = target;
    const asOf = timeNow();
    // A message settles between two reads at most once: what was not waiting then is settled now.
    const waiting = await stores.history.readWaiting(address, sequence);
    if (waiting !== null) {
      const room = await engine.rooms.view(address);
      if (room !== null && room.settled < sequence) return viewOfWaiting(id, waiting, room, asOf);
    }
    const settled = await stores.history.readSettled(address, sequence);
    return settled === null ? null : viewOfSettled(id, settled, asOf);
  }

  async function findRoom(key: RoomKey): Promise<RoomView | null> {
    const stored = await findStored(key);
    const room = stored === null ? null : await engine.rooms.view(stored.row);
    if (stored === null || room === null) return null;
    const { shard } = room;
    const held = engine.ownership.holds(shard) || (await from.pipeline?.heldShards([shard]))?.has(shard) === true;
    const gap = await gapView(stored, stores.rooms, engine.gaps);
    return viewOfRoom(room, conditionOf(engine.channels, key), held, timeNow(), gap);
  }

  async function findRoomMessage(key: RoomKey, messageId: string): Promise<RoomMessageView | null> {
    for (;;) {
      const stored = await findStored(key);
      if (stored === null) return null;
      const { row, gap } = stored;
      const asOf = timeNow();
      const found = await stores.rooms.findMessage(row, messageId);
      if (found === null) return null;
      if (found.kind === 'numbered') return findMessage(references.encode(row, found.sequence));
      if (gap !== undefined) return viewOfParked(key, messageId, found, gap, asOf);
      // It was parked after the room was read.
    }
  }

  async function listMessages(key: RoomKey, page: Page): Promise<readonly MessageView[] | null> {
    const stored = await findStored(key);
    if (stored === null) return null;
    const { row } = stored;
    const asOf = timeNow();
    const entries = await stores.history.listRoom(row, page.before, page.limit);
    return entries.map((entry) => viewOf(references.encode(row, entry.sequence), entry, row, asOf));
  }

  /** The channel of another sender whose statuses come to the same address. Its own secret must have signed, too. */
  function findSender(key: ChannelKey, sender: string, call: WebhookCall, now: number): ChannelKey | null {
    const own = engine.channels.get(key)?.settings;
    for (const { settings } of engine.channels.all()) {
      if (settings.key.tenant !== key.tenant || settings.platform !== own?.platform) continue;
      const other = platform(settings.key);
      if (other?.senderId === sender && other.verify(call, now).kind === 'verified') return settings.key;
    }
    return null;
  }

  function admit(draft: NewMessageDraft): NewMessage {
    // Until it is decided which past is the true one, what this one takes may be lost with it.
    if (engine.ownership.anotherHistory !== null) throw new RoomlineError('another_history', { retryAfterMs: 5_000 });
    const fallbackId = draft.messageId ?? `http:${randomUUID()}`;
    return admitted(draft, { shards, now: clock.now(), source: 'http', fallbackId });
  }

  return {
    now: timeNow,
    findChannel: (tenant, channel) => platform({ tenant, channel }),

    async publish(draft) {
      return engine.intake.accept(admit(draft));
    },

    async publishAll(drafts) {
      return engine.intake.acceptAll(drafts.map(admit));
    },

    findMessage: (id) => fromStore(findMessage(id)),
    findRoom: (key) => fromStore(findRoom(key)),
    findRoomMessage: (key, messageId) => fromStore(findRoomMessage(key, messageId)),
    listMessages: (key, page) => fromStore(listMessages(key, page)),

    channels: () =>
      engine.channels.all().map((channel) => {
        const { tenant, channel: name } = channel.settings.key;
        const { account, platform: adapter } = channel.settings;
        const since = 'since' in channel.condition ? channel.condition.since : null;
        return {
          tenant,
          channel: name,
          account,
          platform: adapter,
          ...channel.view,
          since,
          waitingRooms: channel.queued,
        };
      }),

    async receiveWebhook(key, call): Promise<WebhookReceipt> {
      const client = platform(key);
      if (client === null) return { kind: 'unknown_channel' };
      const now = wallClockMs();
      const verdict = client.verify(call, now);
      if (verdict.kind === 'refused') return verdict;
      const items = client.readStatuses(call);
      const shares = bySender(key, client, items, (sender) => findSender(key, sender, call, now));
      await fromStore(Promise.all(shares.map((share) => engine.acks.receive(share.channel, share.items))));
      return { kind: 'stored', statuses: items.length };
    },

    answerHandshake: (key, call) => platform(key)?.handshake?.(call) ?? null,
  };
}

interface Share {
  readonly channel: ChannelKey;
  readonly items: StatusItem[];
}

/** Parts the items of one call by the channel that they concern; those of a sender that nobody configured count as other. */
function bySender(
  key: ChannelKey,
  client: PlatformChannel,
  items: readonly StatusItem[],
  findSender: (sender: string) => ChannelKey | null,
): readonly Share[] {
  const own: Share = { channel: key, items: [] };
  const shares = new Map<string | null, Share>([[client.senderId, own]]);
  for (const item of items) {
    const sender = 'sender' in item ? (item.sender ?? client.senderId) : client.senderId;
    let share = shares.get(sender);
    if (share === undefined && sender !== null) {
      const channel = findSender(sender);
      share = channel === null ? own : { channel, items: [] };
      shares.set(sender, share);
    }
    const foreign = share === own && sender !== client.senderId;
    share?.items.push(foreign ? { kind: 'other', code: 'sender_unknown' } : item);
  }
  return [...new Set(shares.values())];
}

function viewOf(id: string, entry: HistoryEntry | WaitingMessage, row: RoomRow, asOf: number): MessageView {
  return 'outcome' in entry ? viewOfSettled(id, entry, asOf) : viewOfWaiting(id, entry, row, asOf);
}
