import { beforeEach, describe, expect, it } from 'vitest';
import type { SendResult } from '../../../src/engine/ports.ts';
import { FloodScope } from '../../../src/platforms/telegram/flood-scope.ts';

const ACCEPTED: SendResult = { kind: 'accepted', platformId: '1:1', platformAt: null, duplicate: false };
const flooded = (retryAfterMs: number | null = 5_000): SendResult => ({
  kind: 'refused',
  nack: { permanent: false, scope: 'room', retryAfterMs, code: '429' },
});

let flood: FloodScope;
let now: number;

beforeEach(() => {
  flood = new FloodScope();
  now = 1_000_000;
});

/** Sends and is answered at once: the scope of a refusal, else the kind. */
function exchange(chat: string, result: SendResult): string {
  const judged = flood.judge(result, chat, flood.begin(), now);
  return judged.kind === 'refused' ? judged.nack.scope : judged.kind;
}

describe('a 429', () => {
  it('is the chat’s own while others are accepted', () => {
    for (let round = 0; round < 10; round++) {
      expect(exchange('a', flooded())).toBe('room');
      expect(exchange('b', flooded())).toBe('room');
      expect(exchange('other', ACCEPTED)).toBe('accepted');
    }
  });

  it('is the chat’s own however often it comes', () => {
    for (let n = 0; n < 10; n++) expect(exchange('a', flooded())).toBe('room');
  });

  it('is the bot’s once a third chat in a row is refused', () => {
    const scopes = ['a', 'b', 'c', 'd', 'a'].map((chat) => exchange(chat, flooded()));
    expect(scopes).toEqual(['room', 'room', 'channel', 'channel', 'channel']);
  });

  it('is the bot’s for the one that probes after the wait, and the chat’s own after a success', () => {
    for (const chat of ['a', 'b', 'c']) exchange(chat, flooded(5_000));
    now += 6_000;
    expect(exchange('a', flooded(5_000))).toBe('channel');
    now += 6_000;
    expect(exchange('b', ACCEPTED)).toBe('accepted');
    expect(exchange('c', flooded())).toBe('room');
  });

  it('is not excused by what was sent before others were refused', () => {
    const begun = flood.begin();
    exchange('a', flooded());
    exchange('b', flooded());
    flood.judge(ACCEPTED, 'early', begun, now);
    expect(exchange('c', flooded())).toBe('channel');
  });

  it('is excused by what was sent after, however late the answer', () => {
    exchange('a', flooded());
    exchange('b', flooded());
    const begun = flood.begin();
    flood.judge(ACCEPTED, 'later', begun, now);
    expect(exchange('c', flooded())).toBe('room');
  });

  it('counts until a minute after its wait, and no longer', () => {
    exchange('a', flooded(5_000));
    exchange('b', flooded(null));
    now += 61_001;
    expect(exchange('c', flooded())).toBe('room');
    exchange('d', flooded());
    now += 60_000;
    expect(exchange('e', flooded())).toBe('channel');
  });

  it('keeps everything but its scope', () => {
    exchange('a', flooded());
    exchange('b', flooded());
    expect(flood.judge(flooded(7_000), 'c', flood.begin(), now)).toEqual({
      kind: 'refused',
      nack: { permanent: false, scope: 'channel', retryAfterMs: 7_000, code: '429' },
    });
  });
});

describe('anything else', () => {
  it('is left as it is, and says nothing of limits', () => {
    const others: SendResult[] = [
      { kind: 'unknown', code: 'timeout', bytesLeft: true },
      { kind: 'refused', nack: { permanent: true, scope: 'room', retryAfterMs: null, code: '403_bot_blocked' } },
      ACCEPTED,
    ];
    exchange('a', flooded());
    exchange('b', flooded());
    for (const result of others) expect(flood.judge(result, 'x', 0, now)).toBe(result);
    expect(exchange('c', flooded())).toBe('channel');
  });
});

describe('memory', () => {
  it('holds what decides, whatever the number of chats', () => {
    for (let n = 0; n < 5_000; n++) exchange(`chat ${n}`, flooded());
    expect(exchange('last', flooded())).toBe('channel');
    exchange('x', ACCEPTED);
    expect(exchange('y', flooded())).toBe('room');
  });
});
