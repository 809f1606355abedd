import type { ChannelCondition, ChannelKey, ChannelStore, StoredCondition } from '../../engine/ports.ts';
import type { Pool } from './pool.ts';
import { STATEMENTS } from './statements.ts';

interface ChannelRecord extends ChannelKey {
  readonly condition: ChannelCondition;
  readonly saved_at: number;
}

export class PostgresChannelStore implements ChannelStore {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async load(): Promise<StoredCondition[]> {
    const result = await this.#pool.run(STATEMENTS.loadChannels, []);
    return (result.rows as ChannelRecord[]).map(({ tenant, channel, condition, saved_at }) => ({
      channel: { tenant, channel },
      condition,
      at: saved_at,
    }));
  }

  async save(channel: ChannelKey, condition: ChannelCondition, at: number): Promise<void> {
    const values = [channel.tenant, channel.channel, JSON.stringify(condition), at];
    await this.#pool.run(STATEMENTS.saveChannel, values);
  }
}
