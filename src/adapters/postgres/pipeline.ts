/** What processes tell of themselves: see the port. */
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
import type { Histograms, Total, Totals } from '../../engine/tallies.ts';
import type { RoomAddress } from '../../room/room.ts';
import { bigints, integers, texts } from './arrays.ts';
import type { Pool } from './pool.ts';
import { historyEntry, type SettledRecord, type WaitingRecord, waitingMessage } from './rows.ts';
import { STATEMENTS } from './statements.ts';

/** As they are stored; new ones go to the end. */
const TOTALS_IN_ORDER = [
  'accepted',
  'attempts',
  'acked',
  'assumed',
  'failed',
  'expired',
  'cancelled',
  'skipped',
  'timeouts',
  'lateAcks',
  'possibleDuplicates',
] as const satisfies readonly Total[];

interface MinuteRecord {
  readonly at: number;
  /** The driver leaves the numbers of an array as texts. */
  readonly totals: readonly string[];
  readonly accept_to_first_send: readonly string[];
  readonly ack_to_next_send: readonly string[];
  readonly ack_delay: readonly string[];
  readonly accept_to_settled: readonly string[];
}

export class PostgresPipelineStore implements PipelineStore {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async report(part: PipelinePart): Promise<void> {
    await this.#pool.run(STATEMENTS.reportPart, [part.worker, part.asOf, JSON.stringify(part)]);
  }

  async withdraw(worker: string): Promise<void> {
    await this.#pool.run(STATEMENTS.withdrawPart, [worker]);
  }

  async members(): Promise<Member[]> {
    const { rows } = await this.#pool.run(STATEMENTS.readParts, []);
    return (rows as { worker: string; name: string; is_alive: boolean; part: PipelinePart | null }[]).map(
      ({ worker, name, is_alive, part }) => ({ worker, name, isAlive: is_alive, part }),
    );
  }

  async heldShards(shards: readonly number[]): Promise<ReadonlySet<number>> {
    const { rows } = await this.#pool.run(STATEMENTS.heldShards, [integers(shards)]);
    return new Set((rows as { shard: number }[]).map(({ shard }) => shard));
  }

  async parked(): Promise<ParkedDepth[]> {
    return (await this.#pool.run(STATEMENTS.countParkedOfChannels, [])).rows as ParkedDepth[];
  }

  async list(worker: string, rooms: readonly LingeringRoom[], gone: readonly RoomAddress[]): Promise<void> {
    if (gone.length > 0) await this.#pool.run(STATEMENTS.unlistLingering, [worker, ...addressesOf(gone)]);
    if (rooms.length === 0) return;
    await this.#pool.run(STATEMENTS.listLingering, [
      worker,
      ...addressesOf(rooms),
      bigints(rooms.map(({ since }) => since)),
      texts(rooms.map(({ phase }) => phase)),
      texts(rooms.map(({ tenant }) => tenant)),
      texts(rooms.map(({ channel }) => channel)),
    ]);
  }

  async clearOthers(worker: string, shards: readonly number[]): Promise<void> {
    await this.#pool.run(STATEMENTS.clearLingering, [worker, integers(shards)]);
  }

  async lingering({ tenants, channel, phases, before, after, limit }: LingeringPage): Promise<LingeringRoom[]> {
    const marks = phases.map((_, index) => (index === 0 && after !== null ? after : { since: -1, id: -1 }));
    const values = [
      channel === null ? texts(tenants) : channel.tenant,
      texts(phases),
      bigints(marks.map(({ since }) => since)),
      bigints(marks.map(({ id }) => id)),
      before,
      limit,
    ];
    const { rows } =
      channel === null
        ? await this.#pool.run(STATEMENTS.readLingering, values)
        : await this.#pool.run(STATEMENTS.readLingeringOfChannel, [...values, channel.channel]);
    return rows as LingeringRoom[];
  }

  async addMinutes(worker: string, number: number, minutes: readonly ChannelMinute[]): Promise<void> {
    const records = minutes.map(({ tenant, channel, minute, activity: { totals, histograms } }) => ({
      tenant,
      channel,
      minute,
      totals: TOTALS_IN_ORDER.map((total) => totals[total]),
      accept_to_first_send: histograms.acceptToFirstSend,
      ack_to_next_send: histograms.ackToNextSend,
      ack_delay: histograms.ackDelay,
      accept_to_settled: histograms.acceptToSettled,
    }));
    const asOf = Math.max(0, ...minutes.map(({ minute }) => minute));
    await this.#pool.run(STATEMENTS.addMinutes, [worker, number, asOf, JSON.stringify(records)]);
  }

  async chart({ tenants, channel, from, to, stepMs }: ChartRange): Promise<ChartPoint[]> {
    const range = [from, to, stepMs];
    const { rows } =
      channel !== null
        ? await this.#pool.run(STATEMENTS.readChartOfChannel, [channel.tenant, ...range, channel.channel])
        : tenants !== null
          ? await this.#pool.run(STATEMENTS.readChart, [texts(tenants), ...range])
          : await this.#pool.run(STATEMENTS.readChartOfAll, range);
    return (rows as MinuteRecord[]).map((record) => {
      const totals = Object.fromEntries(
        TOTALS_IN_ORDER.map((total, index) => [total, Number(record.totals[index] ?? 0)]),
      );
      const histograms: Histograms = {
        acceptToFirstSend: record.accept_to_first_send.map(Number),
        ackToNextSend: record.ack_to_next_send.map(Number),
        ackDelay: record.ack_delay.map(Number),
        acceptToSettled: record.accept_to_settled.map(Number),
      };
      return { at: record.at, activity: { totals: totals as Totals, histograms } };
    });
  }

  async prune(before: number, limit: number): Promise<number> {
    const { rows } = await this.#pool.run(STATEMENTS.pruneMinutes, [before, limit]);
    return (rows[0] as { pruned: number }).pruned;
  }

  async timeline(
    address: RoomAddress,
    order: 'oldest' | 'newest',
    after: number | null,
    limit: number,
  ): Promise<TimelineEntry[]> {
    const { rows } =
      order === 'oldest'
        ? await this.#pool.run(STATEMENTS.timelineOldest, [address.shard, address.id, after ?? 0, limit])
        : await this.#pool.run(STATEMENTS.timelineNewest, [
            address.shard,
            address.id,
            after ?? Number.MAX_SAFE_INTEGER,
            limit,
          ]);
    return (rows as (SettledRecord | WaitingRecord)[]).map((record) => {
      const {
        body: _body,
        key: _key,
        ...entry
      } = record.outcome ? historyEntry(record) : waitingMessage(record as WaitingRecord);
      return entry;
    });
  }
}

function addressesOf(rooms: readonly RoomAddress[]): [Buffer, Buffer] {
  return [integers(rooms.map(({ shard }) => shard)), bigints(rooms.map(({ id }) => id))];
}
