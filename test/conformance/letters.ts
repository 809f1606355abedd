/** Dead letters and failures as operators handle them. */
import { describe, expect, it } from 'vitest';
import { fingerprintOf } from '../../src/engine/fingerprint.ts';
import type {
  AuditNote,
  FailureGroup,
  LetterFilter,
  LetterPlace,
  StoredLetter,
} from '../../src/engine/operator-ports.ts';
import { accepted, START } from '../support/rooms.ts';
import { claimBy, type Harness, World } from './world.ts';

const ALL: LetterFilter = {
  channel: null,
  tenants: null,
  room: null,
  kind: null,
  reason: null,
  code: null,
  fingerprint: null,
  state: null,
  from: null,
  until: null,
};

/** So many messages of a room have failed for good, with a code each. */
async function failed(world: World, room: string, codes: readonly string[], textDigest?: string): Promise<void> {
  const proof = await world.worker(`worker-${world.channel}-${room}`);
  await world.append(...codes.map((code, index) => world.message(`${room}-${index}-${code}`, { room })));
  for (const [index, code] of codes.entries()) {
    const claimed = await world.apply(await world.read(room), proof, claimBy(proof));
    const words = textDigest === undefined ? {} : { textDigest };
    const nack = { permanent: true, scope: 'message', retryAfterMs: null, code, ...words } as const;
    const sequence = index + 1;
    await world.apply(claimed, null, { type: 'attempt_refused', sequence, attempt: 1, nack, chance: 0 });
  }
}

function noteOf(subject: string): AuditNote {
  return { actor: 'ops', action: 'dead_letter.discard', subject, detail: { ids: [1] }, requestId: 'request-1' };
}

export function describeLetters(harness: () => Harness): void {
  const letters = () => harness().operators.letters;
  const filterOf = (world: World, more: Partial<LetterFilter> = {}): LetterFilter => ({
    ...ALL,
    channel: { tenant: 'default', channel: world.channel },
    ...more,
  });
  const numbersOf = (found: readonly StoredLetter[]) => found.map(({ room, sequence }) => `${room}${sequence}`);
  const page = async (filter: LetterFilter, order: 'newest' | 'oldest' = 'newest', limit = 100) =>
    (await letters().page(filter, order, null, limit)).letters;

  describe('dead letters in the hands of operators', () => {
    it('are listed from either end, page by page, whole and each once', async () => {
      const world = new World(harness().stores);
      await failed(world, 'a', ['x', 'y', 'x']);
      await failed(world, 'b', ['x']);
      const oldest = await page(filterOf(world), 'oldest');
      expect(numbersOf(oldest)).toEqual(['a1', 'a2', 'a3', 'b1']);
      expect(oldest[1]).toEqual({
        id: oldest[1]?.id,
        at: START,
        kind: 'message',
        reason: 'refused',
        detail: 'y',
        fingerprint: fingerprintOf(filterOf(world).channel, { kind: 'refused', code: 'y', textDigest: null }),
        tenant: 'default',
        channel: world.channel,
        address: oldest[0]?.address,
        sequence: 2,
        room: 'a',
        state: 'open',
        closedAt: null,
        closedBy: null,
        replayedAs: null,
      });
      expect(await page(filterOf(world), 'newest')).toEqual(oldest.toReversed());
      for (const order of ['newest', 'oldest'] as const) {
        const paged: StoredLetter[] = [];
        for (let after: LetterPlace | null = null; ; ) {
          const { letters: some, next } = await letters().page(filterOf(world), order, after, 3);
          paged.push(...some);
          after = next;
          if (after === null) break;
        }
        expect(paged).toEqual(order === 'oldest' ? oldest : oldest.toReversed());
      }
    });

    it('are found by room, kind, reason, code, state and time', async () => {
      const world = new World(harness().stores);
      await failed(world, 'a', ['x', 'y']);
      await failed(world, 'b', ['x']);
      const { row: room } = await world.stored('a');
      expect(numbersOf(await page({ ...ALL, room }))).toEqual(['a2', 'a1']);
      expect(numbersOf(await page({ ...ALL, room, code: 'x' }))).toEqual(['a1']);
      expect(numbersOf(await page(filterOf(world, { code: 'x' }), 'oldest'))).toEqual(['a1', 'b1']);
      expect(await page(filterOf(world, { reason: 'attempts_exhausted' }))).toEqual([]);
      expect(await page(filterOf(world, { reason: 'refused' }))).toHaveLength(3);
      expect(await page(filterOf(world, { kind: 'intake' }))).toEqual([]);
      expect(await page(filterOf(world, { from: START + 1 }))).toEqual([]);
      expect(await page(filterOf(world, { until: START }))).toEqual([]);
      expect(await page(filterOf(world, { from: START, until: START + 1 }))).toHaveLength(3);
      expect(await page(filterOf(world, { state: 'discarded' }))).toEqual([]);
      expect(await page({ ...ALL, channel: { tenant: 'other', channel: world.channel } })).toEqual([]);
    });

    it('are found by the fingerprint of their failure, from both ends, beside whatever else is asked for', async () => {
      const world = new World(harness().stores);
      await failed(world, 'a', ['x', 'y', 'x']);
      await failed(world, 'b', ['x', 'x'], 'b10cced');
      await failed(world, 'c', ['x'], 'b10cced');
      const { channel } = filterOf(world);
      const groupOf = (textDigest: string | null) => fingerprintOf(channel, { kind: 'refused', code: 'x', textDigest });
      const [silent, worded] = [groupOf(null), groupOf('b10cced')];
      const { row: room } = await world.stored('b');
      const found = async (more: Partial<LetterFilter>, order: 'newest' | 'oldest' = 'oldest') =>
        numbersOf(await page({ ...ALL, ...more }, order));
      expect(await found({ fingerprint: silent })).toEqual(['a1', 'a3']);
      expect(await found({ fingerprint: worded })).toEqual(['b1', 'b2', 'c1']);
      expect(await found({ fingerprint: worded }, 'newest')).toEqual(['c1', 'b2', 'b1']);
      expect(await found({ fingerprint: worded, channel })).toEqual(['b1', 'b2', 'c1']);
      expect(await found({ fingerprint: worded, channel: { tenant: 'default', channel: 'nowhere' } })).toEqual([]);
      expect(await found({ fingerprint: worded, tenants: ['nobody'] })).toEqual([]);
      expect(await found({ fingerprint: worded, room })).toEqual(['b1', 'b2']);
      expect(await found({ fingerprint: silent, room })).toEqual([]);
      expect(await found({ fingerprint: worded, code: 'y' })).toEqual([]);
      expect(await found({ fingerprint: worded, until: START })).toEqual([]);
      expect(await found({ fingerprint: 'f'.repeat(32) })).toEqual([]);
      const [first] = await page({ ...ALL, fingerprint: worded }, 'oldest', 1);
      const { at = 0, id = 0 } = first ?? {};
      const rest = await letters().page({ ...ALL, fingerprint: worded }, 'oldest', { at, id }, 9);
      expect(numbersOf(rest.letters)).toEqual(['b2', 'c1']);
    });

    it('carry the fingerprint of what refused a payload', async () => {
      const { deadLetters } = harness().stores;
      const refused = { reason: 'body_not_json', detail: 'd', payload: Uint8Array.of(1), attributes: {} };
      await deadLetters.putIntake([{ ...refused, dedupeKey: 'letters-fingerprint', at: START + 7 }]);
      const intake = fingerprintOf(null, { kind: 'intake', code: 'body_not_json', textDigest: null });
      const ofIntake = await page({ ...ALL, fingerprint: intake });
      expect(ofIntake.length).toBeGreaterThan(0);
      expect(ofIntake.every(({ kind, reason }) => kind === 'intake' && reason === 'body_not_json')).toBe(true);
    });

    it('are found by tenants, from both ends; what came to none is of none', async () => {
      const world = new World(harness().stores);
      await failed(world, 'a', ['x', 'y']);
      const { deadLetters } = harness().stores;
      const refused = { reason: 'body_not_json', detail: 'd', payload: Uint8Array.of(1), attributes: {} };
      await deadLetters.putIntake([{ ...refused, dedupeKey: 'letters-tenants', at: START }]);
      for (const order of ['newest', 'oldest'] as const) {
        const ours = (await page({ ...ALL, tenants: ['nobody', 'default'] }, order, 1_000)).filter(
          ({ channel }) => channel === world.channel,
        );
        expect(ours).toEqual(await page(filterOf(world), order));
        const all = await page({ ...ALL, tenants: ['default'] }, order, 1_000);
        expect(all.filter(({ tenant }) => tenant !== 'default')).toEqual([]);
        expect(await page({ ...ALL, tenants: ['nobody'] }, order)).toEqual([]);
        expect(await page({ ...ALL, tenants: [] }, order)).toEqual([]);
      }
      expect((await page({ ...ALL, kind: 'intake' })).length).toBeGreaterThan(0);
    });

    it('are read with the payload that intake refused', async () => {
      const { deadLetters } = harness().stores;
      const payload = Uint8Array.of(0, 255);
      const attributes = { orderingKey: 'r' };
      await deadLetters.putIntake([
        { reason: 'body_not_utf8', detail: 'd', payload, attributes, dedupeKey: 'letters-read', at: START + 99 },
      ]);
      const [stored] = await page({ ...ALL, kind: 'intake', reason: 'body_not_utf8' });
      const [read, ...none] = await letters().read([stored?.id ?? 0, 999_999_999]);
      expect(none).toEqual([]);
      expect(read).toEqual({ ...stored, refused: { payload: expect.anything(), attributes } });
      expect(Buffer.from(read?.refused?.payload ?? [])).toEqual(Buffer.from(payload));
      expect(await letters().read([])).toEqual([]);
    });

    it('are discarded once, with a note', async () => {
      const world = new World(harness().stores);
      await failed(world, 'a', ['x', 'y']);
      const [second, first] = (await page(filterOf(world))).map(({ id }) => id) as [number, number];
      const subject = `dead_letter:${world.channel}`;
      expect(await letters().discard([first, 999_999_999], START + 1, noteOf(subject))).toEqual([first]);
      expect(await letters().discard([first], START + 2, noteOf(subject))).toEqual([]);
      expect(await letters().discard([], START + 2, noteOf(subject))).toEqual([]);
      expect(await page(filterOf(world, { state: 'discarded' }))).toMatchObject([
        { id: first, state: 'discarded', closedAt: START + 1, closedBy: 'ops', replayedAs: null },
      ]);
      expect((await page(filterOf(world, { state: 'open' }))).map(({ id }) => id)).toEqual([second]);
      expect(await harness().operators.audit.list({ before: null, limit: 9, subject })).toHaveLength(1);
    });

    it('are linked to what they were replayed as, the first time, even if they were discarded', async () => {
      const world = new World(harness().stores);
      await failed(world, 'a', ['x', 'y']);
      const [second, first] = (await page(filterOf(world))).map(({ id }) => id) as [number, number];
      const { row: address } = await world.stored('a');
      await letters().discard([second], START, noteOf('dead_letter:link'));
      const links = [first, second].map((id, index) => ({ id, address, sequence: 3 + index }));
      await letters().markReplayed(links, START + 5, 'ops');
      await letters().markReplayed([{ id: first, address, sequence: 9 }], START + 6, 'other');
      await letters().markReplayed([], START + 6, 'other');
      const { shard, id } = address;
      expect(await page(filterOf(world, { state: 'replayed' }), 'oldest')).toMatchObject([
        { closedAt: START + 5, closedBy: 'ops', replayedAs: { address: { shard, id }, sequence: 3 } },
        { replayedAs: { address: { shard, id }, sequence: 4 } },
      ]);
      expect(await letters().discard([first], START, noteOf('dead_letter:link'))).toEqual([]);
    });

    it('keep the room of a letter after an acceptance of a later message', async () => {
      const world = new World(harness().stores);
      await failed(world, 'a', ['x']);
      await world.append(world.message('later', { room: 'a' }));
      const proof = await world.worker(`worker-${world.channel}-later`);
      const claimed = await world.apply(await world.read('a'), proof, claimBy(proof));
      await world.apply(claimed, null, accepted(2));
      expect(numbersOf(await page(filterOf(world)))).toEqual(['a1']);
    });
  });

  describe('failures', () => {
    const group = (world: World, wishes: Partial<FailureGroup> = {}): FailureGroup => ({
      fingerprint: Buffer.from(world.channel.padEnd(16, '.').slice(0, 16)).toString('hex'),
      channel: { tenant: 'default', channel: world.channel },
      kind: 'refused',
      code: 'x',
      count: 3,
      deadLetters: 1,
      firstSeen: START,
      lastSeen: START + 10,
      sample: { address: { shard: 1, id: 2 }, sequence: 3 },
      ...wishes,
    });

    it('are added up by what they have in common, from many processes at once', async () => {
      const world = new World(harness().stores);
      const { failures } = harness().operators;
      const other = new World(harness().stores);
      await failures.merge([]);
      await Promise.all(
        Array.from({ length: 8 }, (_, index) => {
          const both = [
            group(world, { firstSeen: START + index, lastSeen: START + 10 * index, sample: null }),
            group(other, { count: 0, deadLetters: 2 }),
          ];
          return failures.merge(index % 2 === 0 ? both : both.toReversed());
        }),
      );
      const [ours, ...none] = await failures.list(filterOf(world), 0, 10);
      expect(none).toEqual([]);
      expect(ours).toEqual(group(world, { count: 24, deadLetters: 8, lastSeen: START + 70, sample: null }));
      await failures.merge([
        group(world),
        group(world, { fingerprint: 'f'.repeat(32), channel: null, kind: 'intake' }),
      ]);
      expect(await failures.list(filterOf(other), 0, 10)).toMatchObject([{ count: 0, deadLetters: 16 }]);
      const [again] = await failures.list(filterOf(world), 0, 10);
      expect(again).toMatchObject({ count: 27, firstSeen: START, sample: { sequence: 3 } });
    });

    it('are listed by when they were last seen', async () => {
      const world = new World(harness().stores);
      const { failures } = harness().operators;
      const far = 90_000_000_000_000;
      const groups = [1, 2, 3].map((n) =>
        group(world, { fingerprint: `${n}`.repeat(32), code: `${n}`, lastSeen: far + n }),
      );
      await failures.merge(groups);
      expect((await failures.list(ALL, far, 2)).map(({ code }) => code)).toEqual(['3', '2']);
      expect((await failures.list(ALL, far + 3, 9)).map(({ code }) => code)).toEqual(['3']);
      const intake = group(world, { fingerprint: '4'.repeat(32), channel: null, kind: 'intake', lastSeen: far });
      await failures.merge([intake]);
      expect(await failures.list({ channel: null, tenants: ['default', 'nobody'] }, far, 9)).toHaveLength(3);
      expect(await failures.list({ channel: null, tenants: ['nobody'] }, far, 9)).toEqual([]);
      expect(await failures.list(ALL, far, 9)).toHaveLength(4);
    });
  });
}
