import type { ChannelCondition, ChannelKey, ChannelStore } from '../../engine/ports.ts';
import type { Pool } from './pool.ts';
import { STATEMENTS } from './statements.ts';

interface ChannelRecord extends ChannelKey {
  readonly condition: ChannelCondition;
}

export class PostgresChannelStore implements ChannelStore {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async load(): Promise<{ readonly channel: ChannelKey; readonly condition: ChannelCondition }[]> {
    const result = await this.#pool.run(STATEMENTS.loadChannels, []);
    return (result.rows as ChannelRecord[]).map(({ tenant, channel, condition }) => ({
      channel: { tenant, channel },
      condition,
    }));
  }

  async save(channel: ChannelKey, condition: ChannelCondition, now: number): Promise<void> {
    const values = [channel.tenant, channel.channel, JSON.stringify(condition), now];
    await this.#pool.run(STATEMENTS.saveChannel, values);
  }
}
