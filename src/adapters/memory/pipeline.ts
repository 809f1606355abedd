import type {
  ChannelMinute,
  ChartPoint,
  ChartRange,
  LingeringPage,
  LingeringRoom,
  Member,
  ParkedDepth,
  PipelinePart,
  PipelineStore,
  TimelineEntry,
} from '../../engine/pipeline-ports.ts';
import { type Activity, addActivity, newActivity } from '../../engine/tallies.ts';
import type { RoomAddress } from '../../room/room.ts';
import { addressOf, compositeKey, type MemoryDatabase, nextMicrotask, orderOf, recordAt, selects } from './database.ts';
import type { MemoryOwnershipStore } from './ownership.ts';

interface Told {
  part: PipelinePart | null;
  added: number;
  asOf: number;
}

export class MemoryPipelineStore implements PipelineStore {
  readonly #database: MemoryDatabase;
  readonly #ownership: MemoryOwnershipStore;
  readonly #told = new Map<string, Told>();
  readonly #lists = new Map<string, LingeringRoom & { readonly worker: string }>();
  readonly #minutes = new Map<string, ChannelMinute>();

  constructor(database: MemoryDatabase, ownership: MemoryOwnershipStore) {
    this.#database = database;
    this.#ownership = ownership;
  }

  async report(part: PipelinePart): Promise<void> {
    await nextMicrotask();
    const told = this.#toldBy(part.worker, part.asOf);
    told.part = structuredClone(part);
    told.asOf = part.asOf;
  }

  async withdraw(worker: string): Promise<void> {
    await nextMicrotask();
    this.#told.delete(worker);
  }

  async members(): Promise<Member[]> {
    await nextMicrotask();
    const { fences, now } = this.#database;
    return [...fences]
      .filter(([, { fenced }]) => !fenced)
      .map(([worker, { name, leaseEndsAt }]) => {
        const part = structuredClone(this.#told.get(worker)?.part ?? null);
        return { worker, name, isAlive: leaseEndsAt > now(), part };
      })
      .sort((a, b) => (a.worker < b.worker ? -1 : 1));
  }

  async heldShards(shards: readonly number[]): Promise<ReadonlySet<number>> {
    await nextMicrotask();
    const { fences, now } = this.#database;
    return new Set(
      shards.filter((shard) => {
        const fence = fences.get(this.#ownership.ownerOf(shard) ?? '');
        return fence?.fenced === false && fence.leaseEndsAt > now();
      }),
    );
  }

  async parked(): Promise<ParkedDepth[]> {
    await nextMicrotask();
    const depths = new Map<string, ParkedDepth>();
    for (const { row, parked } of this.#database.rooms.values()) {
      if (parked.size === 0) continue;
      const { tenant, channel } = row.key;
      const { rooms, messages } = depths.get(compositeKey(tenant, channel)) ?? { rooms: 0, messages: 0 };
      depths.set(compositeKey(tenant, channel), {
        tenant,
        channel,
        rooms: rooms + 1,
        messages: messages + parked.size,
      });
    }
    return [...depths.values()];
  }

  async list(worker: string, rooms: readonly LingeringRoom[], gone: readonly RoomAddress[]): Promise<void> {
    await nextMicrotask();
    for (const { shard, id } of gone) this.#lists.delete(placeOf(shard, id, worker));
    for (const { shard, id, tenant, channel, phase, since } of rooms) {
      this.#lists.set(placeOf(shard, id, worker), { shard, id, tenant, channel, phase, since, worker });
    }
  }

  async clearOthers(worker: string, shards: readonly number[]): Promise<void> {
    await nextMicrotask();
    for (const [place, room] of this.#lists) {
      if (room.worker !== worker && shards.includes(room.shard)) this.#lists.delete(place);
    }
  }

  async lingering(page: LingeringPage): Promise<LingeringRoom[]> {
    await nextMicrotask();
    const { phases, before, after, limit } = page;
    const follows = ({ phase, since, id }: LingeringRoom): boolean =>
      after === null || phase !== phases[0] || since > after.since || (since === after.since && id > after.id);
    return [...this.#lists.values()]
      .filter((room) => selects(page, room))
      .filter((room) => phases.includes(room.phase) && room.since <= before && follows(room))
      .sort((a, b) => phases.indexOf(a.phase) - phases.indexOf(b.phase) || a.since - b.since || a.id - b.id)
      .slice(0, limit)
      .map(({ worker: _worker, ...room }) => room);
  }

  async addMinutes(worker: string, number: number, minutes: readonly ChannelMinute[]): Promise<void> {
    await nextMicrotask();
    const told = this.#toldBy(worker, Math.max(0, ...minutes.map(({ minute }) => minute)));
    if (told.added >= number) return;
    told.added = number;
    for (const { tenant, channel, minute, activity } of minutes) {
      const name = compositeKey(tenant, channel, String(minute));
      const known = this.#minutes.get(name) ?? { tenant, channel, minute, activity: newActivity() };
      addActivity(known.activity, activity);
      this.#minutes.set(name, known);
    }
  }

  async chart({ from, to, stepMs, ...selected }: ChartRange): Promise<ChartPoint[]> {
    await nextMicrotask();
    const points = new Map<number, Activity>();
    for (const one of this.#minutes.values()) {
      const { minute } = one;
      if (!selects(selected, one) || minute < from || minute >= to) continue;
      const at = minute - ((minute - from) % stepMs);
      const activity = points.get(at) ?? newActivity();
      addActivity(activity, one.activity);
      points.set(at, activity);
    }
    return [...points].map(([at, activity]) => ({ at, activity })).sort((a, b) => a.at - b.at);
  }

  async prune(before: number, limit: number): Promise<number> {
    await nextMicrotask();
    const known = (worker: string): boolean => this.#database.fences.has(worker);
    for (const [worker, { asOf }] of this.#told) if (asOf < before && !known(worker)) this.#told.delete(worker);
    for (const [place, room] of this.#lists) {
      if (room.since < before && !known(room.worker)) this.#lists.delete(place);
    }
    const old = [...this.#minutes].filter(([, { minute }]) => minute < before);
    const pruned = old.sort(([, a], [, b]) => a.minute - b.minute).slice(0, limit);
    for (const [name] of pruned) this.#minutes.delete(name);
    return pruned.length;
  }

  async timeline(
    address: RoomAddress,
    order: 'oldest' | 'newest',
    after: number | null,
    limit: number,
  ): Promise<TimelineEntry[]> {
    await nextMicrotask();
    const record = recordAt(this.#database, address);
    if (record === null) return [];
    const step = order === 'oldest' ? 1 : -1;
    const first = after === null ? (order === 'oldest' ? 1 : record.row.tail) : after + step;
    const listed: TimelineEntry[] = [];
    for (let sequence = first; listed.length < limit; sequence += step) {
      if (sequence < 1 || sequence > record.row.tail) break;
      const entry = record.history.get(sequence);
      const message = record.messages.get(sequence);
      if (message !== undefined) {
        listed.push({ ...message.envelope, address: addressOf(record.row), ...orderOf(message) });
      } else if (entry !== undefined) {
        const { body: _body, key: _key, ...rest } = entry;
        listed.push(rest);
      }
    }
    return listed;
  }

  #toldBy(worker: string, asOf: number): Told {
    const told = this.#told.get(worker) ?? { part: null, added: 0, asOf };
    this.#told.set(worker, told);
    return told;
  }
}

function placeOf(shard: number, id: number, worker: string): string {
  return compositeKey(String(shard), String(id), worker);
}
