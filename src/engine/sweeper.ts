/**
 * Signals are hints; this is what finds every room all the same. It scans the shards that this process holds and hands
 * what it finds to `Rooms`, which speaks in events through the same compare-and-set as the hot path.
 */

import type { RoomAddress } from '../room/room.ts';
import type { Channels } from './channels.ts';
import type { Instruments } from './instruments.ts';
import type { Ownership } from './ownership.ts';
import type { Clock, RoomStore } from './ports.ts';
import { reportViolation } from './report.ts';
import type { Rooms } from './rooms.ts';
import { defineService, runLoop, type Service } from './service.ts';

export interface SweeperOptions {
  readonly store: RoomStore;
  readonly rooms: Rooms;
  readonly ownership: Ownership;
  readonly channels: Channels;
  readonly clock: Clock;
  readonly everyMs: number;
  readonly instruments: Instruments;
  readonly onFailure: (error: unknown) => void;
}

const PAGE = 500;

export function createSweeper(options: SweeperOptions): Service {
  return defineService('sweeper', (scope) => {
    const { clock, onFailure, everyMs, instruments } = options;
    const { beforeRender } = instruments.metrics;
    const tell = (): void => tellQueues(options);
    beforeRender.add(tell);
    scope.onStop(() => void beforeRender.delete(tell));
    const loop = runLoop(
      async () => {
        await sweep(options);
        return everyMs;
      },
      { timers: { schedule: (delayMs, callback) => clock.after(delayMs, callback) }, onFailure },
    );
    scope.onStop(() => loop.stop());
  });
}

/** How many rooms are in memory, and how many of them wait for a permit, at the moment of asking. */
function tellQueues({ rooms, channels, instruments }: SweeperOptions): void {
  instruments.metrics.roomsActive.set(rooms.size);
  for (const channel of channels.all()) instruments.metrics.permitQueue.set({ channel: channel.name }, channel.queued);
}

async function sweep(options: SweeperOptions): Promise<void> {
  const { ownership, instruments, rooms } = options;
  const shards = [...ownership.shards];
  if (shards.length === 0) return;
  let found = 0;
  let violations = 0;
  try {
    await readAll(options.store, shards, 'due', options.clock.now(), (stored) => {
      found++;
      if (rooms.found(stored, 'sweep')) return;
      violations++;
      reportViolation(instruments, stored.row);
    });
  } catch (error) {
    ownership.storeFailed(error);
    return;
  }
  instruments.metrics.livenessViolations.set(violations);
  instruments.telemetry.emit('sweep.finished', { rooms: found, violations });
}

/** Calls back for every room that the scan finds, page by page. */
export async function readAll(
  store: RoomStore,
  shards: readonly number[],
  which: 'all' | 'due',
  now: number,
  each: (stored: Awaited<ReturnType<RoomStore['scan']>>[number]) => void,
): Promise<void> {
  let after: RoomAddress | null = null;
  for (;;) {
    const page: Awaited<ReturnType<RoomStore['scan']>> = await store.scan(shards, which, now, PAGE, after);
    for (const stored of page) each(stored);
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    after = { shard: last.row.shard, id: last.row.id };
  }
}
