import type { AckInbox, ChannelKey, InboxAck } from '../../engine/ports.ts';
import { reaches } from '../../room/ack.ts';
import { bigints, texts } from './arrays.ts';
import type { Pool } from './pool.ts';
import { type AckRecord, inboxAck } from './rows.ts';
import { STATEMENTS } from './statements.ts';

type Match = Awaited<ReturnType<AckInbox['matchOrKeep']>>[number];

interface MatchRecord {
  readonly shard: number;
  readonly room_id: number;
  readonly sequence: number;
}

export class PostgresAckInbox implements AckInbox {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async matchOrKeep(channel: ChannelKey, acks: readonly InboxAck[], now: number): Promise<Match[]> {
    if (acks.length === 0) return [];
    const ids = texts(acks.map((ack) => ack.platformId));
    const known = await this.#pool.run(STATEMENTS.matchAcks, [channel.tenant, channel.channel, ids]);
    const matches: (Match | undefined)[] = acks.map(() => undefined);
    for (const record of known.rows as (MatchRecord & { ord: number })[]) matches[record.ord - 1] = matched(record);
    const unknown = acks.map((ack, index) => ({ ack, index })).filter(({ index }) => matches[index] === undefined);
    if (unknown.length === 0) return matches as Match[];
    // One statement cannot change a row twice, and one for each repetition could not answer in time.
    const byId = new Map<string, InboxAck>();
    for (const { ack } of unknown) byId.set(ack.platformId, joined(byId.get(ack.platformId), ack));
    const found = await this.#keep(channel, [...byId.values()], now);
    for (const { ack, index } of unknown) matches[index] = found.get(ack.platformId) ?? { kind: 'kept' };
    return matches as Match[];
  }

  /** Keeps acks that nothing named a moment ago. @returns where those lead that an acceptance has named since */
  async #keep(channel: ChannelKey, acks: readonly InboxAck[], now: number): Promise<Map<string, Match>> {
    const result = await this.#pool.run(STATEMENTS.keepAcks, [
      channel.tenant,
      channel.channel,
      now,
      texts(acks.map((ack) => ack.platformId)),
      texts(acks.map((ack) => ack.level)),
      bigints(acks.map((ack) => ack.at)),
      JSON.stringify(acks.map((ack) => ack.nack)),
    ]);
    const found = new Map<string, Match>();
    for (const record of result.rows as (MatchRecord & { platform_id: string; room_id: number | null })[]) {
      if (record.room_id !== null) found.set(record.platform_id, matched(record));
    }
    return found;
  }

  async read(channel: ChannelKey, platformIds: readonly string[]): Promise<InboxAck[]> {
    if (platformIds.length === 0) return [];
    const values = [channel.tenant, channel.channel, texts(platformIds)];
    return ((await this.#pool.run(STATEMENTS.readAcks, values)).rows as AckRecord[]).map(inboxAck);
  }

  async prune(now: number, keepMs: number): Promise<number> {
    const result = await this.#pool.run(STATEMENTS.pruneAcks, [now - keepMs]);
    return (result.rows[0] as { dropped: number }).dropped;
  }
}

/** Two acks of one id as one, as keep_acks.sql joins them with what is stored. */
function joined(known: InboxAck | undefined, ack: InboxAck): InboxAck {
  if (known === undefined) return ack;
  return { ...(reaches(known.level, ack.level) ? known : ack), nack: known.nack ?? ack.nack };
}

function matched(record: MatchRecord): Match {
  return { kind: 'matched', address: { shard: record.shard, id: record.room_id }, sequence: record.sequence };
}
