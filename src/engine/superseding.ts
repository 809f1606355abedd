/**
 * A newer message takes the place of one that still waits. Nothing of it is stored with the newer one: its publisher is
 * answered only after it has been decided, and whoever publishes again for want of that answer has it decided again.
 */
import { RoomlineError } from '../errors.ts';
import type { RoomAddress } from '../room/room.ts';
import { errorFields } from '../telemetry.ts';
import { Batcher } from './batcher.ts';
import type { Instruments } from './instruments.ts';
import type { Clock, RoomStore } from './ports.ts';
import type { Rooms } from './rooms.ts';

export interface SupersedingDependencies {
  readonly store: RoomStore;
  readonly rooms: Rooms;
  readonly clock: Clock;
  readonly instruments: Instruments;
  readonly maxRows: number;
}

const RETRY_MS = 200;

export class Superseding {
  readonly #to: SupersedingDependencies;
  readonly #reads: Batcher<RoomAddress & { readonly messageId: string }, number | null>;
  #closed = false;

  constructor(dependencies: SupersedingDependencies) {
    this.#to = dependencies;
    const { store, maxRows } = dependencies;
    this.#reads = new Batcher({ maxRows, flush: (wanted) => store.findWaiting(wanted) });
  }

  /**
   * Resolves when what becomes of the older message is decided and stored; nothing does where it does not wait, has been
   * tried, or is not older than `sequence`. Tries until the store takes it.
   * @throws RoomlineError `not_ready` where the store failed and `close` was called
   */
  async supersede(address: RoomAddress, sequence: number, messageId: string): Promise<void> {
    for (;;) {
      try {
        const older = await this.#reads.submit({ shard: address.shard, id: address.id, messageId });
        if (older === null || older >= sequence) return;
        await this.#to.rooms.post(address, { type: 'superseded', sequence: older });
        return;
      } catch (error) {
        const { clock, instruments } = this.#to;
        instruments.log.event('intake.batch_failed', { source: 'all', count: 1, ...errorFields(error) });
        if (this.#closed) throw new RoomlineError('not_ready', { detail: 'intake has ended', cause: error });
        await new Promise<void>((resolve) => clock.after(RETRY_MS, resolve));
      }
    }
  }

  /** From now on a failure of the store ends it. */
  close(): void {
    this.#closed = true;
  }
}
