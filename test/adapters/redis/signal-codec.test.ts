import { describe, expect, it } from 'vitest';
import { decodeCommon, encodeCommon, keyOf } from '../../../src/adapters/redis/signal-codec.ts';

const CHANNEL = { tenant: 'default', channel: 'support' };

describe('what is told of acks', () => {
  it('carries how long some took, and reads the same with none', () => {
    const signals = [
      { kind: 'acks', channel: CHANNEL },
      { kind: 'acks', channel: CHANNEL, delaysMs: [0, 312, 86_400_000] },
    ] as const;
    expect(decodeCommon(encodeCommon('me', signals))).toEqual({ sender: 'me', signals });
  });

  it.each([
    ['a text', '["me",["acks","default","support","312"]]'],
    ['nothing', '["me",["acks","default","support",null]]'],
    ['more than any number', '["me",["acks","default","support",1e999]]'],
  ])('cannot be read where %s stands for a delay', (_, text) => {
    expect(decodeCommon(text)).toBeNull();
  });

  it('has one place in the queue for each channel, whatever it carries', () => {
    const some = keyOf({ kind: 'acks', channel: CHANNEL, delaysMs: [1, 2] });
    expect(some).toBe(keyOf({ kind: 'acks', channel: CHANNEL, delaysMs: [3] }));
    expect(some).not.toBe(keyOf({ kind: 'acks', channel: { ...CHANNEL, channel: 'sales' }, delaysMs: [1, 2] }));
  });
});
