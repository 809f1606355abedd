/**
 * Where actors play their steps in a given order. An actor is a process of its own: it calls the store's functions, and
 * is stopped at points between its calls and inside of them. The points inside are triggers that wait for an advisory
 * lock: `insert` when an append has looked for its ids and is about to insert, `commit` when a transaction has done all
 * and holds all its locks. Whether an actor waits for another one's lock is asked of Postgres, never slept for.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { PostgresStores } from '../../../../src/adapters/postgres/stores.ts';
import type { Route } from '../../../support/postgres.ts';
import { Database } from '../database.ts';

/** `decided`: between a decision and its write. */
export type Stop = 'decided' | 'insert' | 'commit';

const GATES = { insert: 1, commit: 2 } as const;
const STUCK_MS = 15_000;
const MAX_ROUNDS = 20;
const POLL_MS = 1;

const TRIGGERS = `
  CREATE FUNCTION stop_at(point integer) RETURNS void LANGUAGE plpgsql SET lock_timeout = 0 AS $$
  BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext(split_part(current_setting('application_name'), ' ', 1)), point);
  END $$;
  CREATE FUNCTION stop_at_insert() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN PERFORM stop_at(${GATES.insert}); RETURN NULL; END $$;
  CREATE FUNCTION stop_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN PERFORM stop_at(${GATES.commit}); RETURN NULL; END $$;
  CREATE TRIGGER stop_at_insert BEFORE INSERT ON messages EXECUTE FUNCTION stop_at_insert();
`;
// Rows that leave or enter the history's partitions cannot be kept for the commit: maintenance alters those tables.
const COMMIT_TRIGGERS = [
  ...['rooms', 'resting_rooms', 'platform_ids', 'dead_letters', 'workers', 'fences', 'shards', 'channels'].map(
    (table) => [table, 'INSERT OR UPDATE OR DELETE'] as const,
  ),
  ['history', 'UPDATE'] as const,
].map(
  ([table, events]) =>
    `CREATE CONSTRAINT TRIGGER stop_at_commit AFTER ${events} ON ${table} DEFERRABLE INITIALLY DEFERRED
     FOR EACH ROW EXECUTE FUNCTION stop_at_commit();`,
);

/** No play takes thousands of shards: they have an owner. */
const SHARDS_ELSEWHERE = `
  INSERT INTO workers (worker, lease_until) VALUES ('elsewhere', clock_timestamp() + interval '1 day');
  INSERT INTO fences (worker) VALUES ('elsewhere');
  UPDATE shards SET owner = 'elsewhere';
`;

type State = 'waits for its step' | 'runs' | 'yields' | 'ended';

/** What an actor has in hand while it plays. */
export class Actor {
  readonly name: string;
  readonly opened: PostgresStores;
  readonly session: pg.Client;
  answer: unknown = null;
  /** By how much its stored writes have raised versions of rooms. */
  versionsRaised = 0;
  #stops: readonly Stop[] = [];
  #passed = new Set<Stop>();
  #state: State = 'ended';
  readonly #onChange: () => void;
  #continue: () => void = () => undefined;

  constructor(name: string, opened: PostgresStores, session: pg.Client, onChange: () => void) {
    this.#onChange = onChange;
    this.name = name;
    this.opened = opened;
    this.session = session;
  }

  get state(): State {
    return this.#state;
  }

  /** A point between its calls; where it is to stop there it goes on with its next step. The first time only. */
  async at(stop: Stop): Promise<void> {
    if (!this.#stops.includes(stop) || this.#passed.has(stop)) return;
    this.#passed.add(stop);
    await this.#pauses('waits for its step');
  }

  /** Goes on only after somebody else has made a step: what it asked for was busy. */
  yields(): Promise<void> {
    return this.#pauses('yields');
  }

  prepare(stops: readonly Stop[], run: (actor: Actor) => Promise<unknown>): void {
    this.#stops = stops;
    this.#passed = new Set();
    this.answer = null;
    this.versionsRaised = 0;
    const begun = this.#pauses('waits for its step');
    const playing = begun.then(() => run(this));
    void playing
      .catch((error: unknown) => `failed: ${error instanceof Error ? error.message : String(error)}`)
      .then((answer) => {
        this.answer = answer;
        this.#become('ended');
      });
  }

  goOn(): void {
    this.#become('runs');
    this.#continue();
  }

  #become(state: State): void {
    this.#state = state;
    this.#onChange();
  }

  #pauses(state: State): Promise<void> {
    return new Promise((resolve) => {
      this.#continue = resolve;
      this.#become(state);
    });
  }
}

interface Waiter {
  readonly actor: string;
  /** Null where it waits for somebody's lock. */
  readonly gate: number | null;
}

const WAITING = `
  SELECT split_part(a.application_name, ' ', 1) AS actor,
    CASE WHEN l.locktype = 'advisory' AND l.objsubid = 2 THEN l.objid::integer END AS gate
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
  WHERE NOT l.granted AND a.datname = current_database()`;

export interface Part {
  /** Where it stops; it has one step more than that. */
  readonly stops: readonly Stop[];
  readonly run: (actor: Actor) => Promise<unknown>;
}

export class Stage {
  readonly database: Database;
  /** Of nobody who plays: for preparing and looking. */
  readonly opened: PostgresStores;
  readonly director: pg.Client;
  readonly #actors: Actor[] = [];
  /** Who waited for which gate, or for somebody's lock, when it was last quiet. */
  #waiters: readonly Waiter[] = [];
  #changed: () => void = () => undefined;
  /** Gates that are shut, as `actor gate`. */
  readonly #shut = new Set<string>();

  private constructor(database: Database, director: pg.Client) {
    this.database = database;
    this.opened = database.stores({ applicationName: 'stage' });
    this.director = director;
  }

  static async open(route: Route, names: readonly string[]): Promise<Stage> {
    const database = await Database.on(route);
    // Nothing here depends on the disk, and thousands of commits need not wait for it.
    await database.query(
      `ALTER ROLE CURRENT_USER IN DATABASE ${new URL(database.url).pathname.slice(1)} SET synchronous_commit = off`,
    );
    const director = await database.session();
    await director.query([TRIGGERS, ...COMMIT_TRIGGERS, SHARDS_ELSEWHERE].join('\n'));
    const stage = new Stage(database, director);
    for (const name of names) {
      const session = await database.session();
      await session.query(`SET application_name = '${name} session'`);
      const opened = database.stores({ applicationName: name, statementTimeoutMs: 60_000 });
      stage.#actors.push(new Actor(name, opened, session, () => stage.#changed()));
    }
    return stage;
  }

  /** Plays the steps in this order; a step of an actor that waits for another's lock comes when it has it. */
  async play(parts: readonly Part[], order: readonly number[]): Promise<readonly Actor[]> {
    const actors = parts.map((part, number) => {
      const actor = this.#actors[number] as Actor;
      actor.prepare(part.stops, part.run);
      return actor;
    });
    await this.#shutGates(parts);
    try {
      const owed = parts.map(() => 0);
      for (const number of order) {
        owed[number] = (owed[number] ?? 0) + 1;
        await this.#payOff(actors, owed);
      }
      await this.#end(actors);
      return actors;
    } finally {
      await this.#openAll();
    }
  }

  /** What is left of everybody's steps, when all of the order has been played. */
  async #end(actors: readonly Actor[]): Promise<void> {
    const deadline = performance.now() + STUCK_MS;
    for (let round = 1; actors.some((actor) => actor.state !== 'ended'); round++) {
      // Nobody may go on for a while: a vacuum has what they need locked until it is sent away.
      if (round > MAX_ROUNDS && performance.now() > deadline)
        throw new Error(`the play does not end: ${this.#describe(actors)}`);
      const owed = actors.map(() => 1);
      await this.#payOff(actors, owed);
      await this.#rouse(actors);
    }
  }

  async #rouse(actors: readonly Actor[]): Promise<void> {
    for (const actor of actors) if (actor.state === 'yields') actor.goOn();
    await this.#quiet(actors);
  }

  /** Has every actor make the steps that it owes and can make, until nobody can. */
  async #payOff(actors: readonly Actor[], owed: number[]): Promise<void> {
    for (let progress = true; progress; ) {
      progress = false;
      for (const [number, actor] of actors.entries()) {
        if ((owed[number] ?? 0) === 0) continue;
        const stepped = await this.#step(actor);
        if (!stepped && actor.state !== 'ended') continue;
        owed[number] = (owed[number] ?? 0) - 1;
        if (!stepped) continue;
        progress = true;
        // First the one whose step it is: what it does is what the others tried again for.
        await this.#quiet(actors);
        await this.#rouse(actors.filter((other) => other !== actor));
        await this.#quiet(actors);
      }
    }
  }

  /** False where it has ended, or waits for somebody else. */
  async #step(actor: Actor): Promise<boolean> {
    if (actor.state === 'waits for its step') {
      actor.goOn();
      return true;
    }
    if (actor.state !== 'runs') return false;
    const gate = this.#waiters.find((one) => one.actor === actor.name && one.gate !== null)?.gate;
    if (gate === undefined || gate === null) return false;
    await this.#open(actor.name, gate);
    return true;
  }

  /** Resolves when whoever runs waits, at a gate or for a lock of somebody else. */
  async #quiet(actors: readonly Actor[]): Promise<void> {
    const deadline = performance.now() + STUCK_MS;
    for (;;) {
      await this.#aMoment();
      const before = running(actors);
      const waiters = before.length === 0 ? [] : await this.#waiting();
      const after = running(actors);
      // What ended or paused while Postgres was asked may have let others go on.
      if (before.length === after.length && after.every((name) => waiters.some((one) => one.actor === name))) {
        this.#waiters = waiters;
        return;
      }
      if (performance.now() > deadline) throw new Error(`nothing goes on: ${this.#describe(actors)}`);
    }
  }

  /** Until an actor ends or pauses; what stops inside of Postgres tells nobody, so no longer than it takes at most. */
  async #aMoment(): Promise<void> {
    const change = new Promise<void>((resolve) => {
      this.#changed = resolve;
    });
    if (running(this.#actors).length > 0) await Promise.race([change, delay(POLL_MS)]);
  }

  async #waiting(): Promise<Waiter[]> {
    const { rows } = await this.director.query({ name: 'waiting', text: WAITING });
    return rows as Waiter[];
  }

  async #shutGates(parts: readonly Part[]): Promise<void> {
    const wanted = parts.flatMap((part, number) =>
      part.stops.flatMap((stop) =>
        stop === 'decided' ? [] : [[this.#actors[number]?.name ?? '', GATES[stop]] as const],
      ),
    );
    for (const [actor, gate] of wanted) {
      await this.director.query('SELECT pg_advisory_lock(hashtext($1), $2)', [actor, gate]);
      this.#shut.add(`${actor} ${gate}`);
    }
  }

  async #open(actor: string, gate: number): Promise<void> {
    await this.director.query('SELECT pg_advisory_unlock(hashtext($1), $2)', [actor, gate]);
    this.#shut.delete(`${actor} ${gate}`);
  }

  async #openAll(): Promise<void> {
    if (this.#shut.size === 0) return;
    await this.director.query('SELECT pg_advisory_unlock_all()');
    this.#shut.clear();
  }

  #describe(actors: readonly Actor[]): string {
    return actors.map((actor) => `${actor.name} ${actor.state}`).join(', ');
  }

  close(): Promise<void> {
    return this.database.close();
  }
}

function running(actors: readonly Actor[]): string[] {
  return actors.filter((actor) => actor.state === 'runs').map((actor) => actor.name);
}
