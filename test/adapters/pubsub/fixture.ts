/** The intake from Pub/Sub on real gRPC, with the engine's own `Intake` on memory stores. */
import { randomUUID } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { createMemoryStores } from '../../../src/adapters/memory/stores.ts';
import {
  createPubSubIntake,
  type PubSubDependencies,
  type PubSubIntake,
  type PubSubOptions,
} from '../../../src/adapters/pubsub/subscriber.ts';
import { createSystemClock } from '../../../src/adapters/system-clock.ts';
import type { Instruments } from '../../../src/engine/instruments.ts';
import { Intake } from '../../../src/engine/intake.ts';
import { MESSAGE_LIMITS, parseMessage } from '../../../src/engine/message.ts';
import type { AppendResult, DeadLetter, DeadLetterStore, NewMessage, Stores } from '../../../src/engine/ports.ts';
import { createReferences } from '../../../src/engine/reference.ts';
import type { Rooms } from '../../../src/engine/rooms.ts';
import { admitted } from '../../../src/http/answers.ts';
import { createLog, createMetrics, recipientHasher, Telemetry } from '../../../src/telemetry.ts';
import { eventually, nextEvent } from '../../support/events.ts';

const SECRET = 'a secret of more than thirty-two characters';
const SHARDS = 16;
export const CHANNEL = 'gateway-1';

export interface WorldOptions {
  /** Comes before an append; what it throws, the append throws. */
  readonly beforeAppend?: (batch: readonly NewMessage[]) => Promise<void> | void;
  /** The same before dead letters are written. */
  readonly beforeLetters?: (letters: Parameters<DeadLetterStore['putIntake']>[0]) => Promise<void> | void;
  /** True for an error of the store that the same message would meet again. */
  readonly isPermanent?: (error: unknown) => boolean;
  readonly maxRows?: number;
}

/** One database and, one after the other, the processes that take in messages for it. */
export class World {
  readonly stores: Stores;
  readonly instruments: Instruments;
  /** Messages in the order in which they were committed, those that were duplicates left out. */
  readonly committed: { readonly room: string; readonly sequence: number; readonly messageId: string }[] = [];
  duplicates = 0;
  readonly logged: string[] = [];
  readonly #options: WorldOptions;
  readonly #database: Stores;

  constructor(options: WorldOptions = {}) {
    this.#options = options;
    const clock = createSystemClock();
    this.#database = createMemoryStores({ shards: SHARDS, now: () => clock.now() });
    this.stores = this.#observed();
    const destination = { write: (line: string) => void this.logged.push(line) };
    this.instruments = {
      log: createLog({ level: 'debug', destination }),
      metrics: createMetrics({ version: '0.0.0' }),
      telemetry: new Telemetry(),
      hash: recipientHasher(SECRET),
    };
  }

  /** Sequences of a room by message id, in the order of their commits. */
  room(room: string): [messageId: string, sequence: number][] {
    return this.committed
      .filter((message) => message.room === room)
      .map(({ messageId, sequence }) => [messageId, sequence]);
  }

  /** Oldest first. */
  async deadLetters(): Promise<DeadLetter[]> {
    return (await this.#database.deadLetters.list(null, 1_000)).reverse();
  }

  async untilCommitted(count: number, deadlineMs?: number): Promise<void> {
    while (this.committed.length < count) {
      await nextEvent(this.instruments.telemetry, 'intake.committed', undefined, deadlineMs);
    }
  }

  untilRefused(count: number): Promise<DeadLetter[]> {
    return eventually(`${count} dead letters`, async () => {
      const letters = await this.deadLetters();
      return letters.length >= count && letters;
    });
  }

  /** The database, with what the test orders in front of it and a record of what was committed. */
  #observed(): Stores {
    const { beforeAppend, beforeLetters } = this.#options;
    const { rooms, deadLetters } = this.#database;
    const append = async (batch: readonly NewMessage[]): Promise<AppendResult[]> => {
      await beforeAppend?.(batch);
      const results = await rooms.append(batch);
      results.forEach((result, index) => {
        const { key, messageId } = batch[index] as NewMessage;
        if (result.kind === 'appended') {
          this.committed.push({ room: key.room, sequence: result.sequence, messageId });
        } else if (result.kind === 'duplicate') this.duplicates++;
      });
      return results;
    };
    const putIntake: DeadLetterStore['putIntake'] = async (letters) => {
      await beforeLetters?.(letters);
      await deadLetters.putIntake(letters);
    };
    return {
      ...this.#database,
      rooms: override(rooms, { append }),
      deadLetters: override(deadLetters, { putIntake }),
    };
  }

  /** A process of its own: ends with the test, or before. */
  process(
    subscription: Partial<PubSubOptions> & Pick<PubSubOptions, 'subscription' | 'endpoint'>,
    wishes: Partial<PubSubDependencies> = {},
  ) {
    const clock = createSystemClock();
    const intake = new Intake({
      store: this.stores.rooms,
      rooms: { appended: () => undefined } as unknown as Rooms,
      gaps: { noted: () => undefined },
      clock,
      references: createReferences(SECRET),
      instruments: this.instruments,
      maxRows: this.#options.maxRows ?? 200,
      maxWaiting: 1,
      maxWaitingBytes: 134_217_728,
      lingerMs: 0,
      endOfTurn: setImmediate,
      mayAccept: () => true,
      raised: () => Promise.resolve(),
      isPermanent: this.#options.isPermanent ?? (() => false),
    });
    let most = 0;
    const queue = createPubSubIntake(
      {
        projectId: 'contract',
        topic: null,
        maxOutstandingMessages: 1_000,
        maxOutstandingBytes: 67_108_864,
        ...subscription,
      },
      {
        mayStore: () => true,
        parse(payload, fallbackId, now) {
          const parsed = parseMessage(payload, MESSAGE_LIMITS, (_tenant, channel) =>
            channel === CHANNEL ? { checkContent: null } : null,
          );
          if ('error' in parsed) return parsed.error;
          return admitted(parsed.ok, { shards: SHARDS, now, source: 'pubsub', fallbackId });
        },
        accept(message) {
          const accepted = intake.accept(message);
          most = Math.max(most, intake.outstanding);
          return accepted;
        },
        deadLetters: this.stores.deadLetters,
        clock,
        instruments: this.instruments,
        ...wishes,
      },
    );
    onTestFinished(() => queue.service.stop());
    return { queue, intake, outstanding: () => intake.outstanding, mostOutstanding: () => most };
  }
}

export async function untilFlowing(world: World, queue: PubSubIntake): Promise<void> {
  while (queue.trouble() !== null) await nextEvent(world.instruments.telemetry, 'dependency.back');
}

export function untilLost(world: World): Promise<unknown> {
  return nextEvent(world.instruments.telemetry, 'dependency.lost');
}

/** A message as publishers write it. */
export function payload(room: string, messageId: string | null, more: Readonly<Record<string, unknown>> = {}): string {
  const id = messageId === null ? {} : { messageId };
  return JSON.stringify({ channel: CHANNEL, room, ...id, content: { text: 'hello' }, ...more });
}

/** Messages `from` to `to` of a room, as [ordering key, payload]. */
export function messages(room: string, from: number, to: number): [key: string, text: string][] {
  return Array.from({ length: to - from + 1 }, (_, at) => [room, payload(room, `m-${from + at}`)]);
}

/** What `World.room` gives for messages 1 to `to` in order. */
export function inOrder(to: number): [messageId: string, sequence: number][] {
  return Array.from({ length: to }, (_, at) => [`m-${at + 1}`, at + 1]);
}

export const newName = (prefix: string): string => `${prefix}-${randomUUID()}`;

/** The same object with some methods replaced; the others still run on the original. */
function override<T extends object>(original: T, methods: Partial<T>): T {
  return new Proxy(original, {
    get(target, name) {
      const member: unknown = Reflect.get(name in methods ? methods : target, name);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}
