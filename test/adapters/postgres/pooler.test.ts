/** Behind a pooler in transaction mode: nothing that belongs to a session, and what is missing is said at the start. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RoomlineError } from '../../../src/errors.ts';
import { World } from '../../conformance/world.ts';
import { registrationOf } from '../../support/fleet.ts';
import { postgresRoutes, type Route } from '../../support/postgres.ts';
import { Database } from './database.ts';

const routes: readonly Route[] = postgresRoutes().filter(({ pooled }) => pooled);

describe.each(routes)('$name: a server behind the same connection', (route) => {
  it('that has another past stops intake as soon as a renewal has seen it', async () => {
    const database = await Database.on(route);
    try {
      const { ownership, rooms } = database.stores().stores;
      const world = new World(database.stores().stores);
      await rooms.append([world.message('a')]);
      await ownership.register(registrationOf('w', 60_000));
      await database.query('UPDATE settings SET timeline = timeline + 1');
      expect((await ownership.renew('w', 60_000))?.anotherHistory).not.toBeNull();
      await expect(rooms.append([world.message('b')])).rejects.toMatchObject({ code: 'another_history' });
      await database.query('UPDATE settings SET timeline = timeline - 1');
      expect((await ownership.renew('w', 60_000))?.anotherHistory).toBeNull();
      expect(await rooms.append([world.message('b')])).toMatchObject([{ kind: 'appended' }]);
    } finally {
      await database.close();
    }
  });
});

describe.each(routes)('$name: start', (route) => {
  let database: Database;
  beforeEach(async () => {
    database = await Database.on(route);
  });
  afterEach(() => database.close());

  function databaseName(): string {
    return new URL(database.url).pathname.slice(1);
  }

  it('is refused where the role lacks the settings, all of which are named', async () => {
    await database.query(`ALTER ROLE CURRENT_USER IN DATABASE ${databaseName()} RESET ALL`);
    const refusal = await database
      .stores()
      .check()
      .catch((error: unknown) => error);

    expect(refusal).toBeInstanceOf(RoomlineError);
    expect(refusal).toMatchObject({ code: 'unsafe_postgres_setting' });
    const { detail, rule } = refusal as RoomlineError;
    expect(detail).toContain('idle_in_transaction_session_timeout = 0');
    for (const setting of [
      `statement_timeout = '5000'`,
      `idle_in_transaction_session_timeout = '1000'`,
      `lock_timeout = '2000'`,
      `plan_cache_mode = 'force_generic_plan'`,
      `enable_seqscan = 'off'`,
    ]) {
      expect(rule).toContain(`ALTER ROLE <role> SET ${setting}`);
    }
  });

  it('is allowed where the role has them', async () => {
    expect(await database.stores().check()).toMatchObject({ shards: 4_096 });
  });

  it('is refused by the pooler itself where they are sent with the connection', async () => {
    await expect(database.stores({ sessionSettings: 'startup' }).check()).rejects.toThrow(/options/);
  });
});
