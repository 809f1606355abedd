/** Rooms by the recipients of their messages: see the port. */
import { type Addressed, NOTED_FOR_MS, type RecipientPage, type RecipientStore } from '../../engine/pipeline-ports.ts';
import type { RoomAddress } from '../../room/room.ts';
import { bigints, integers, texts } from './arrays.ts';
import type { Pool } from './pool.ts';
import { STATEMENTS } from './statements.ts';

export class PostgresRecipientStore implements RecipientStore {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async note(addressed: readonly Addressed[]): Promise<void> {
    if (addressed.length === 0) return;
    await this.#pool.run(STATEMENTS.noteRecipients, [
      texts(addressed.map(({ tenant }) => tenant)),
      texts(addressed.map(({ recipient }) => recipient)),
      texts(addressed.map(({ channel }) => channel)),
      integers(addressed.map(({ shard }) => shard)),
      bigints(addressed.map(({ id }) => id)),
      bigints(addressed.map(({ at }) => at)),
      NOTED_FOR_MS,
    ]);
  }

  async find({ tenant, recipient, channels, limit }: RecipientPage) {
    const { rows } = await this.#pool.run(STATEMENTS.findRecipient, [
      tenant,
      recipient,
      texts(channels.map(({ channel }) => channel)),
      integers(channels.map(({ shard }) => shard)),
      bigints(channels.map(({ after }) => after)),
      limit,
    ]);
    return rows as (RoomAddress & { readonly channel: string })[];
  }

  async prune(before: number, limit: number): Promise<number> {
    return (await this.#pool.run(STATEMENTS.pruneRecipients, [before, limit])).rowCount ?? 0;
  }
}
