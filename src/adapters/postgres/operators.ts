/** What operators configure and do: channels by the API, and the audit. */
import type {
  AuditEntry,
  AuditNote,
  AuditPage,
  AuditStore,
  ChannelSettingsStore,
  StoredChannelSettings,
} from '../../engine/operator-ports.ts';
import type { ChannelKey } from '../../engine/ports.ts';
import type { Pool } from './pool.ts';
import { STATEMENTS } from './statements.ts';

interface SettingsRecord {
  readonly latest: number;
  /** Null where there is no channel at all. */
  readonly tenant: string | null;
  readonly channel: string;
  readonly settings: StoredChannelSettings['settings'];
  readonly revision: number;
  readonly updated_at: number;
  readonly updated_by: string;
}

interface AuditRecord {
  readonly id: number;
  readonly at: number;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly detail: AuditEntry['detail'];
  readonly request_id: string;
}

export class PostgresChannelSettingsStore implements ChannelSettingsStore {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async revision(): Promise<number> {
    const { rows } = await this.#pool.run(STATEMENTS.readSettingsRevision, []);
    return (rows[0] as { revision: number }).revision;
  }

  async load(): Promise<{ readonly revision: number; readonly channels: StoredChannelSettings[] }> {
    const rows = (await this.#pool.run(STATEMENTS.loadChannelSettings, [])).rows as SettingsRecord[];
    const channels = rows.flatMap(({ tenant, channel, settings, revision, updated_at, updated_by }) => {
      if (tenant === null) return [];
      return [{ key: { tenant, channel }, settings, revision, updatedAt: updated_at, updatedBy: updated_by }];
    });
    return { revision: rows[0]?.latest ?? 0, channels };
  }

  async put(
    { tenant, channel }: ChannelKey,
    settings: StoredChannelSettings['settings'],
    expected: number | null,
    note: AuditNote,
  ): Promise<{ readonly revision: number; readonly at: number } | null> {
    const values = [tenant, channel, JSON.stringify(settings), ...noteValues(note)];
    const { rows } =
      expected === null
        ? await this.#pool.run(STATEMENTS.addChannelSettings, values)
        : await this.#pool.run(STATEMENTS.changeChannelSettings, [...values, expected]);
    return (rows[0] as { revision: number; at: number } | undefined) ?? null;
  }

  async remove({ tenant, channel }: ChannelKey, expected: number, note: AuditNote): Promise<number | null> {
    const values = [tenant, channel, ...noteValues(note), expected];
    const { rows } = await this.#pool.run(STATEMENTS.removeChannelSettings, values);
    return (rows[0] as { revision: number } | undefined)?.revision ?? null;
  }

  async waitingRooms({ tenant, channel }: ChannelKey): Promise<number> {
    const { rows } = await this.#pool.run(STATEMENTS.countWaitingRooms, [tenant, channel]);
    return (rows[0] as { rooms: number }).rooms;
  }
}

export class PostgresAuditStore implements AuditStore {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async record(note: AuditNote): Promise<void> {
    await this.#pool.run(STATEMENTS.recordAudit, noteValues(note));
  }

  async list({ before, limit, subject }: AuditPage): Promise<AuditEntry[]> {
    const values = [before ?? Number.MAX_SAFE_INTEGER, limit, subject];
    const { rows } = await this.#pool.run(STATEMENTS.listAudit, values);
    return (rows as AuditRecord[]).map(({ request_id, ...entry }) => ({ ...entry, requestId: request_id }));
  }
}

export function noteValues({ actor, action, subject, detail, requestId }: AuditNote): unknown[] {
  return [actor, action, subject, JSON.stringify(detail), requestId];
}
