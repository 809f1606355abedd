/**
 * Which rooms messages to a recipient are in, where the room's name does not say it, so that a room is found by whom it
 * goes to. Gathered in memory as messages are accepted, and written once a second where it is new; nothing waits for that.
 * What a store does not take is written later; a crash loses a second's worth, until the next message to that recipient.
 */
import type { RoomAddress } from '../room/room.ts';
import { errorFields } from '../telemetry.ts';
import type { Instruments } from './instruments.ts';
import { type Addressed, NOTED_FOR_MS, type RecipientStore } from './pipeline-ports.ts';
import type { ChannelKey, Clock } from './ports.ts';
import { defineService, runLoop, type Service } from './service.ts';

export interface RecipientsDependencies {
  readonly store: Pick<RecipientStore, 'note'>;
  readonly clock: Clock;
  readonly instruments: Instruments;
  readonly onFailure: (error: unknown) => void;
  /** Recipients of rooms that are known to be stored, and such that are to be written; 100,000 of each by default. */
  readonly most?: number;
}

const WRITE_EVERY_MS = 1_000;
const MOST = 100_000;
const ROWS = 1_000;

export class Recipients {
  readonly service: Service;
  readonly #to: RecipientsDependencies;
  readonly #most: number;
  /** When what is stored was seen, the recipient that was longest in no message first. */
  readonly #stored = new Map<string, number>();
  readonly #waiting = new Map<string, Addressed>();
  #failing = false;

  constructor(dependencies: RecipientsDependencies) {
    this.#to = dependencies;
    this.#most = dependencies.most ?? MOST;
    const { clock, onFailure } = dependencies;
    const timers = { schedule: (delayMs: number, callback: () => void) => clock.after(delayMs, callback) };
    this.service = defineService('recipients', (scope) => {
      scope.onStop(() => this.#write());
      const loop = runLoop(() => this.#write().then(() => WRITE_EVERY_MS), { timers, onFailure });
      scope.onStop(() => loop.stop());
    });
  }

  /**
   * A message of the room to this recipient, which is not its name, is committed. Beyond what may wait it is left to the
   * next message of the same kind.
   */
  addressed({ tenant, channel }: ChannelKey, { shard, id }: RoomAddress, recipient: string, at: number): void {
    const name = `${id} ${recipient}`;
    const storedAt = this.#stored.get(name);
    if (storedAt !== undefined) {
      this.#stored.delete(name);
      if (at - storedAt < NOTED_FOR_MS) {
        this.#stored.set(name, storedAt);
        return;
      }
    }
    if (this.#waiting.has(name) || this.#waiting.size >= this.#most) return;
    this.#waiting.set(name, { tenant, channel, shard, id, recipient, at });
  }

  /** What waits now; what comes meanwhile waits for the next time. */
  async #write(): Promise<void> {
    const { store, instruments } = this.#to;
    const waiting = [...this.#waiting];
    for (let begin = 0; begin < waiting.length; begin += ROWS) {
      const batch = waiting.slice(begin, begin + ROWS);
      try {
        await store.note(batch.map(([, addressed]) => addressed));
      } catch (error) {
        const fields = { reason: 'recipients', count: this.#waiting.size, ...errorFields(error) };
        // Once for each outage.
        if (!this.#failing) instruments.log.event('postgres.batch_failed', fields);
        this.#failing = true;
        return;
      }
      this.#failing = false;
      for (const [name, { at }] of batch) this.#keep(name, at);
    }
  }

  #keep(name: string, at: number): void {
    this.#waiting.delete(name);
    this.#stored.set(name, at);
    if (this.#stored.size <= this.#most) return;
    for (const oldest of this.#stored.keys()) {
      this.#stored.delete(oldest);
      return;
    }
  }
}
