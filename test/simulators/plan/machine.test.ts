import { describe, expect, it } from 'vitest';
import { Disk, Fifo, Machine, Thread, Timeline } from '../../../simulators/plan/machine.ts';

describe('time', () => {
  it('brings things in the order of their times, those of one time as they were put there', () => {
    const timeline = new Timeline();
    const seen: string[] = [];
    for (const [delay, name] of [
      [5, 'e'],
      [1, 'a'],
      [3, 'c'],
      [3, 'd'],
      [2, 'b'],
    ] as const) {
      timeline.after(delay, () => seen.push(`${name}${timeline.now}`));
    }
    timeline.run(4);
    expect(seen).toEqual(['a1', 'b2', 'c3', 'd3']);
    timeline.run(10);
    expect(seen.at(-1)).toBe('e5');
  });

  it('keeps many in order', () => {
    const timeline = new Timeline();
    const seen: number[] = [];
    for (let index = 0; index < 1_000; index++) timeline.after((index * 7_919) % 1_009, () => seen.push(timeline.now));
    timeline.run(2_000);
    expect(seen).toHaveLength(1_000);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  it('stops when it is enough', () => {
    const timeline = new Timeline();
    let runs = 0;
    for (let index = 1; index <= 5; index++) timeline.after(index, () => runs++);
    timeline.run(10, () => runs === 2);
    expect([runs, timeline.now]).toEqual([2, 2]);
  });
});

describe('cores', () => {
  /** When each of so many pieces of work of 10 ms is done. */
  function ends(cores: number, threads: number): number[] {
    const timeline = new Timeline();
    const machine = new Machine(timeline, cores);
    const done: number[] = [];
    for (let index = 0; index < threads; index++) {
      new Thread(machine).do(10_000, () => done.push(Math.round(timeline.now)));
    }
    timeline.run(1_000);
    return done;
  }

  it('work side by side while there are enough of them', () => {
    expect(ends(2, 2)).toEqual([10, 10]);
  });

  it('are handed round where there are not', () => {
    expect(ends(1, 2)).toEqual([19, 20]);
    expect(ends(2, 4)).toEqual([19, 19, 20, 20]);
  });

  it('do the tasks of one thread one after the other, and count what they take', () => {
    const timeline = new Timeline();
    const thread = new Thread(new Machine(timeline, 4));
    const done: number[] = [];
    for (const us of [2_000, 500, 1_500]) thread.do(us, () => done.push(timeline.now));
    timeline.run(100);
    expect(done).toEqual([2, 2.5, 4]);
    expect(thread.busyUs).toBe(4_000);
  });

  it('let a task of one thread pass between two long ones of another', () => {
    const timeline = new Timeline();
    const machine = new Machine(timeline, 1);
    const [long, short] = [new Thread(machine), new Thread(machine)];
    long.do(50_000, () => undefined);
    let shortAt = 0;
    short.do(100, () => {
      shortAt = timeline.now;
    });
    timeline.run(100);
    expect(shortAt).toBeCloseTo(1.1);
  });

  it('collect garbage later, as a share of the work', () => {
    const timeline = new Timeline();
    const thread = new Thread(new Machine(timeline, 1), { share: 0.25, pauseUs: 1_000 });
    const done: number[] = [];
    for (let index = 0; index < 8; index++) thread.do(1_000, () => done.push(timeline.now));
    timeline.run(100);
    // Four pieces of 0.75 ms, a pause of 1 ms, and again.
    expect(done.map((at) => Number(at.toFixed(2)))).toEqual([0.75, 1.5, 2.25, 3, 4.75, 5.5, 6.25, 7]);
    expect(thread.busyUs).toBe(8_000);
  });
});

describe('a disk', () => {
  it('writes for all that came while it was writing at once', () => {
    const timeline = new Timeline();
    const disk = new Disk(timeline, 10);
    const done: string[] = [];
    const commit = (name: string): void => disk.commit(() => done.push(`${name}${timeline.now}`));
    commit('a');
    timeline.after(1, () => commit('b'));
    timeline.after(9, () => commit('c'));
    timeline.after(25, () => commit('d'));
    timeline.run(100);
    expect(done).toEqual(['a10', 'b20', 'c20', 'd35']);
    expect(disk.syncs).toBe(3);
  });
});

describe('a queue', () => {
  it('gives back what came first, however much went through', () => {
    const queue = new Fifo<number>();
    let taken = 0;
    for (let index = 0; index < 10_000; index++) {
      queue.add(2 * index);
      queue.add(2 * index + 1);
      expect(queue.take()).toBe(taken++);
    }
    expect(queue.size).toBe(10_000);
    expect(queue.first).toBe(taken);
    while (queue.size > 0) expect(queue.take()).toBe(taken++);
    expect(queue.take()).toBeUndefined();
  });
});
