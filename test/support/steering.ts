/** Engines on memory stores with an HTTP server before them, as operators see them. */
import { onTestFinished } from 'vitest';
import { DeadLetters } from '../../src/engine/dead-letters.ts';
import { createFailureCounter } from '../../src/engine/failures.ts';
import { Steering } from '../../src/engine/steering.ts';
import { createAnswers } from '../../src/http/answers.ts';
import { createKey, type Scope } from '../../src/http/keys.ts';
import type { SteeringDesk } from '../../src/http/steering.ts';
import { Backend, makeServer } from '../http/fixture.ts';
import { Bed, type BedOptions, CHANNEL, nackOf, type Process, SHARDS, settled } from './engine.ts';

/** An operator may read, too. */
const KEYS = {
  publish: { ...createKey(), scopes: ['publish'] },
  read: { ...createKey(), scopes: ['read'] },
  operate: { ...createKey(), scopes: ['read', 'operate'] },
} as const;

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: whatever was answered, for assertions
  readonly body: any;
}

export class SteeringBed {
  readonly bed: Bed;
  readonly process: Process;
  readonly desk: SteeringDesk;
  readonly backend = new Backend();
  #url = '';

  private constructor(bed: Bed, process: Process) {
    this.bed = bed;
    this.process = process;
    const { engine, references, clock, instruments } = process;
    const { stores, operators } = bed;
    const { audit, letters, failures } = operators;
    const platform = (key: { readonly channel: string }) =>
      key.channel === CHANNEL.channel ? bed.platform.channel(CHANNEL) : null;
    const answers = createAnswers({
      engine,
      stores,
      references,
      clock,
      shards: SHARDS,
      platform,
      wallClockMs: () => bed.time.now,
    });
    const desk = { history: stores.history, references, clock, shards: SHARDS };
    const { hash } = instruments;
    this.desk = {
      steering: new Steering({ rooms: engine.rooms, gaps: engine.gaps, store: stores.rooms, audit, hash, ...desk }),
      letters: new DeadLetters({
        letters,
        audit,
        publish: answers.publishAll,
        findChannel: answers.findChannel,
        ...desk,
      }),
      failures,
      rooms: stores.rooms,
      ...desk,
    };
    Object.assign(this.backend.dependencies, answers, { steering: this.desk });
  }

  /** @param holds whether the process that is asked holds the rooms; else another one does */
  static async start(options: BedOptions = {}, holds = true): Promise<SteeringBed> {
    const bed = new Bed(options);
    const holder = await bed.boot();
    const process = holds ? holder : await bed.boot({ roles: ['api'] });
    const made = new SteeringBed(bed, process);
    const { clock, instruments } = process;
    const onFailure = (error: unknown): void => void process.failures.push(error);
    const counter = createFailureCounter({ store: bed.operators.failures, clock, instruments, onFailure });
    await counter.start();
    const { server } = makeServer(
      { keys: Object.entries(KEYS).map(([name, { hash, scopes }]) => ({ name, hash, scopes })) },
      made.backend,
    );
    await server.service.start();
    onTestFinished(async () => {
      await server.service.stop();
      await counter.stop();
    });
    made.#url = server.url;
    return made;
  }

  get url(): string {
    return this.#url;
  }

  /** Of an operator. */
  get key(): string {
    return KEYS.operate.key;
  }

  async call(method: 'GET' | 'POST', path: string, body?: unknown, scope: Scope = 'operate'): Promise<Answer> {
    const json = body === undefined ? {} : { 'content-type': 'application/json' };
    const response = await fetch(`${this.#url}${path}`, {
      method,
      headers: { authorization: `Bearer ${KEYS[scope].key}`, ...json },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const answer = { status: response.status, body: await response.json() };
    await settled();
    return answer;
  }

  post(path: string, body?: unknown): Promise<Answer> {
    return this.call('POST', path, body);
  }

  get(path: string): Promise<Answer> {
    return this.call('GET', path);
  }

  /** What names message `sequence` of the room. */
  async id(room: string, sequence: number): Promise<string> {
    return this.process.references.encode(await this.bed.row(room), sequence);
  }

  async order(room: string, sequence: number, order: string, body?: unknown): Promise<Answer> {
    return this.post(`/v1/messages/${await this.id(room, sequence)}/${order}`, body);
  }

  /** Publishes messages that the platform refuses for good; resolves when all have settled. */
  async fail(room: string, ids: readonly string[], code = 'no_such_number', textDigest?: string): Promise<void> {
    const before = this.bed.platform.answers;
    const words = textDigest === undefined ? {} : { textDigest };
    this.bed.platform.answers = () => ({ kind: 'refused', nack: nackOf({ permanent: true, code, ...words }) });
    await this.process.publish(room, ids);
    await this.bed.time.advance(1);
    this.bed.platform.answers = before;
  }

  audited() {
    return this.bed.operators.audit.list({ before: null, limit: 100, subject: null });
  }
}
