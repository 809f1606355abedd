/** 25,000 rooms are live, and the page stays smooth. The bounds are those of a machine that is busy with all of it. */
import { expect, inject, it } from 'vitest';
import { type CrowdFigures, measureCrowd } from './kit/crowd.ts';

const ROOMS = 25_000;
const WATCH_MS = 5_000;
const MOST_HEAP = 48 * 1_048_576;

const program = inject('chromiumProgram') as string | null;

it.each(program === null ? [] : [program])(
  '25,000 rooms are live, and the page is smooth',
  { timeout: 240_000 },
  async (chromium) => {
    const figures: CrowdFigures = await measureCrowd({
      program: chromium,
      rooms: ROOMS,
      // So that all are still live when a busy machine has Chromium running at last.
      messages: 3,
      watchMs: WATCH_MS,
      views: [
        { path: '/', name: 'Overview' },
        { path: '/trouble/rooms', name: 'Trouble' },
        { path: '/', name: 'Overview again' },
      ],
    });
    for (const view of figures.views) {
      expect(view.complaints).toEqual([]);
      // Sixty frames in a second leave 16 ms for each.
      expect(view.processorMsPerFrame, view.view).toBeLessThan(16);
      // No task that keeps a person waiting, however busy the machine is.
      expect(view.longTasks.longestMs, view.view).toBeLessThan(500);
      // All of them together leave the page half of the time, at the least.
      expect(view.longTasks.totalMs, view.view).toBeLessThan(WATCH_MS / 2);
      expect(view.heapBytes, view.view).toBeLessThan(MOST_HEAP);
      // What is on the page does not grow with the rooms.
      expect(view.elements, view.view).toBeLessThan(5_000);
    }
    expect(figures.views[0]?.liveRooms).toBeGreaterThan(0.9 * ROOMS);
    const [first, , again] = figures.views;
    expect((again?.heapBytes ?? 0) - (first?.heapBytes ?? 0)).toBeLessThan(8 * 1_048_576);
  },
);
