/** However a platform varies its codes and words, its failures fall into few groups. */
import { describe, expect, it } from 'vitest';
import { OTHER_CODE, OTHER_TEXT } from '../../src/engine/fingerprint.ts';
import type { PlatformChannel, SendRequest, SendResult, StatusItem, WebhookCall } from '../../src/engine/ports.ts';
import { boundVariety } from '../../src/platforms/failure-variety.ts';
import type { Nack } from '../../src/room/room.ts';

const DAY_MS = 86_400_000;
const REQUEST = {} as SendRequest;
const CALL = {} as WebhookCall;

function nackOf(code: string, textDigest?: string): Nack {
  const words = textDigest === undefined ? {} : { textDigest };
  return { permanent: true, scope: 'message', retryAfterMs: null, code, ...words };
}

class Rig {
  now = 1_000 * DAY_MS;
  result: SendResult = { kind: 'unknown', code: 'timeout', bytesLeft: true };
  statuses: readonly StatusItem[] = [];
  readonly bounded: PlatformChannel;

  constructor() {
    const channel: PlatformChannel = {
      senderId: 'sender',
      checkContent: null,
      send: () => Promise.resolve(this.result),
      lookup: () => Promise.resolve({ kind: 'failed', nack: nackOf('looked_up', 'text'), platformId: null }),
      handshake: null,
      verify: () => ({ kind: 'verified' }),
      readStatuses: () => this.statuses,
      close: () => Promise.resolve(),
    };
    this.bounded = boundVariety(channel, () => this.now);
  }

  async digest(code: string, textDigest?: string): Promise<string | undefined> {
    this.result = { kind: 'refused', nack: nackOf(code, textDigest) };
    const result = await this.bounded.send(REQUEST);
    return result.kind === 'refused' ? result.nack.textDigest : undefined;
  }
}

describe('the variety of failures', () => {
  it('is left alone while it is small, and what is no failure always', async () => {
    const rig = new Rig();
    expect(await rig.digest('a')).toBeUndefined();
    expect(await rig.digest('a', 'one')).toBe('one');
    rig.result = { kind: 'accepted', platformId: '1', platformAt: null, duplicate: false };
    expect(await rig.bounded.send(REQUEST)).toBe(rig.result);
    expect(await rig.bounded.lookup?.('r', 1)).toMatchObject({ nack: { textDigest: 'text' } });
    expect(rig.bounded.senderId).toBe('sender');
  });

  it('is at most twenty texts of a code; those that are known stay, and the code is kept', async () => {
    const rig = new Rig();
    const first = await Promise.all(Array.from({ length: 20 }, (_, n) => rig.digest('a', `text-${n}`)));
    expect(new Set(first).size).toBe(20);
    expect(await rig.digest('a', 'one more')).toBe(OTHER_TEXT);
    expect(await rig.digest('a', 'text-7')).toBe('text-7');
    expect(await rig.digest('b', 'one more')).toBe('one more');
    rig.now += DAY_MS;
    expect(await rig.digest('a', 'one more')).toBe('one more');
  });

  it('is at most a hundred codes and two hundred texts in all, from answers and statuses alike', async () => {
    const rig = new Rig();
    const seen = new Set<string>();
    for (let n = 0; n < 50_000; n++) {
      const nack = nackOf(`code-${n % 500}`, `text-${n}`);
      rig.statuses = [
        { kind: 'status', reference: 'r', platformId: null, level: null, nack, at: null, cumulative: false },
      ];
      const [item] = rig.bounded.readStatuses(CALL);
      if (item?.kind !== 'status' || item.nack === null) throw new Error('the status was lost');
      seen.add(item.nack.textDigest === OTHER_CODE ? OTHER_CODE : `${item.nack.code} ${item.nack.textDigest}`);
    }
    expect(seen.size).toBe(200 + 100 + 1);
    expect(await rig.digest('yet another')).toBe(OTHER_CODE);
    rig.result = { kind: 'unknown', code: 'yet another', bytesLeft: true };
    expect(await rig.bounded.send(REQUEST)).toEqual({ ...rig.result, textDigest: OTHER_CODE });
  });
});
