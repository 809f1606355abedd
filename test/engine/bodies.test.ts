import { describe, expect, it } from 'vitest';
import { Bodies } from '../../src/engine/bodies.ts';
import type { RoomStore } from '../../src/engine/ports.ts';

const room = { shard: 1, id: 7 };
const bytes = (length: number, fill: number) => new Uint8Array(length).fill(fill);

/** A store that knows message n of any room as one byte n, and counts how it is asked. */
function setup(maxBytes: number) {
  const asked: number[][] = [];
  const readBodies: RoomStore['readBodies'] = async (wanted) => {
    asked.push(wanted.map(({ sequence }) => sequence));
    return wanted.map(({ sequence }) => (sequence === 404 ? null : bytes(1, sequence)));
  };
  return { bodies: new Bodies({ readBodies } as RoomStore, maxBytes), asked };
}

describe('bodies', () => {
  it('come from memory where this process inserted them', async () => {
    const { bodies, asked } = setup(100);
    bodies.keep(room, 1, bytes(10, 42));
    expect(await bodies.read(room, 1)).toEqual(bytes(10, 42));
    expect(asked).toEqual([]);
  });

  it('are kept up to the bound, the oldest go first', async () => {
    const { bodies, asked } = setup(30);
    for (let sequence = 1; sequence <= 5; sequence++) bodies.keep(room, sequence, bytes(10, 100 + sequence));
    const read = await Promise.all([1, 2, 3, 4, 5].map((sequence) => bodies.read(room, sequence)));
    expect(asked).toEqual([[1, 2]]);
    expect(read.map((body) => body?.length)).toEqual([1, 1, 10, 10, 10]);
  });

  it('give their place back when their message has settled', async () => {
    const { bodies, asked } = setup(20);
    bodies.keep(room, 1, bytes(10, 1));
    bodies.keep(room, 2, bytes(10, 2));
    bodies.drop(room, 2);
    bodies.drop(room, 2);
    bodies.keep(room, 3, bytes(10, 3));
    await Promise.all([bodies.read(room, 1), bodies.read(room, 3)]);
    expect(asked).toEqual([]);
    await bodies.read(room, 2);
    expect(asked).toEqual([[2]]);
  });

  it('count once, however often one is told of', async () => {
    const { bodies, asked } = setup(20);
    bodies.keep(room, 1, bytes(10, 1));
    for (let n = 0; n < 10; n++) bodies.keep(room, 2, bytes(10, 2));
    await bodies.read(room, 1);
    expect(asked).toEqual([]);
  });

  it('that exceed the bound alone push nothing out', async () => {
    const { bodies, asked } = setup(20);
    bodies.keep(room, 1, bytes(20, 1));
    bodies.keep(room, 2, bytes(21, 2));
    await bodies.read(room, 1);
    expect(asked).toEqual([]);
    await bodies.read(room, 2);
    expect(asked).toEqual([[2]]);
  });

  it('are read in batches, with null for one that has left its room', async () => {
    const { bodies, asked } = setup(0);
    const read = await Promise.all([1, 404, 3].map((sequence) => bodies.read(room, sequence)));
    expect(asked).toEqual([[1, 404, 3]]);
    expect(read).toEqual([bytes(1, 1), null, bytes(1, 3)]);
  });
});
