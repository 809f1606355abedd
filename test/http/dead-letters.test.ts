/** Dead letters and failures over HTTP: looked at, replayed in order, discarded, counted. */
import { describe, expect, it } from 'vitest';
import { CHANNEL, nackOf, START } from '../support/engine.ts';
import { SteeringBed } from '../support/steering.ts';

const LETTERS = '/v1/dead-letters';

/** Everything that the platform is sent from now on arrives. */
function heal({ bed }: SteeringBed): void {
  bed.platform.answers = () => ({ kind: 'accepted', platformId: null, platformAt: null, duplicate: false });
}

async function putPayload(
  steered: SteeringBed,
  dedupeKey: string,
  payload: string | Uint8Array,
  reason = 'field_missing',
) {
  await steered.bed.stores.deadLetters.putIntake([
    {
      reason,
      detail: 'room: required',
      payload: typeof payload === 'string' ? Buffer.from(payload) : payload,
      attributes: { orderingKey: 'r' },
      dedupeKey,
      at: START + 5,
    },
  ]);
}

const idsOf = (body: { letters: { id: number }[] }): number[] => body.letters.map(({ id }) => id);

describe('GET /v1/dead-letters', () => {
  it('lists them newest first, page by page, filtered', async () => {
    const steered = await SteeringBed.start();
    await steered.fail('r', ['a', 'b', 'c']);
    await steered.fail('s', ['d'], 'blocked');
    await putPayload(steered, 'p', '{}');
    const all = await steered.get(LETTERS);
    expect(all).toMatchObject({ status: 200, body: { cursor: null } });
    expect(all.body.letters).toHaveLength(5);
    const [newest] = all.body.letters;
    expect(newest).toMatchObject({ kind: 'intake', reason: 'field_missing', message: null, detail: 'room: required' });
    const ofRoom = (await steered.get(`${LETTERS}?channel=support&room=r`)).body.letters;
    expect(ofRoom).toMatchObject(
      [3, 2, 1].map((sequence) => ({ room: 'r', code: 'no_such_number', message: { sequence } })),
    );
    const first = (await steered.get(`${LETTERS}?channel=support&limit=3`)).body;
    expect(first.letters).toHaveLength(3);
    const second = (await steered.get(`${LETTERS}?channel=support&limit=3&cursor=${first.cursor}`)).body;
    expect([...idsOf(first), ...idsOf(second)]).toHaveLength(4);
    expect(new Set([...idsOf(first), ...idsOf(second)]).size).toBe(4);
    const counts = async (query: string) => (await steered.get(`${LETTERS}?${query}`)).body.letters.length;
    expect(await counts('code=blocked')).toBe(1);
    expect(await counts('kind=intake')).toBe(1);
    expect(await counts('reason=refused')).toBe(4);
    expect(await counts('state=discarded')).toBe(0);
    expect(await counts('channel=nowhere')).toBe(0);
    expect(await counts(`from=${START + 5}&until=${START + 6}&kind=intake`)).toBe(1);
    expect(await counts(`until=${START}`)).toBe(0);
  });

  it('shows one with its attempts, and what it says to whom only to operators', async () => {
    const steered = await SteeringBed.start();
    await steered.fail('r', ['a']);
    await putPayload(steered, 'p', '{"room":');
    await putPayload(steered, 'q', Uint8Array.of(0xff, 0));
    const ids = idsOf((await steered.get(LETTERS)).body).toSorted((one, other) => one - other);
    const shown = await steered.get(`${LETTERS}/${ids[0]}`);
    expect(shown).toMatchObject({
      status: 200,
      body: {
        state: 'open',
        body: { to: 'r', content: { id: 'a' } },
        outcome: {
          outcome: 'failed',
          possiblyDelivered: false,
          attempts: [{ result: 'refused', code: 'no_such_number' }],
        },
      },
    });
    const payload = { encoding: 'utf8', data: '{"room":', attributes: { orderingKey: 'r' } };
    expect((await steered.get(`${LETTERS}/${ids[1]}`)).body).toMatchObject({ payload, outcome: null });
    expect((await steered.get(`${LETTERS}/${ids[2]}`)).body.payload).toMatchObject({
      encoding: 'base64',
      data: '/wA=',
    });
    for (const id of ids) {
      const read = await steered.call('GET', `${LETTERS}/${id}`, undefined, 'read');
      expect(read.status).toBe(200);
      expect(Object.keys(read.body)).not.toContain('body');
      expect(Object.keys(read.body)).not.toContain('payload');
    }
  });
});

describe('replay', () => {
  it('lets the room be found by the recipient of the message again', async () => {
    const steered = await SteeringBed.start();
    const { bed, process } = steered;
    bed.platform.answers = () => ({ kind: 'refused', nack: nackOf({ permanent: true }) });
    const body = new TextEncoder().encode(JSON.stringify({ to: '+49 1', content: { id: 'a' } }));
    await process.publish('r', ['a'], { body });
    await bed.time.advance(1);
    await process.recipients.service.start();
    await steered.post(`${LETTERS}:replay`, { filter: { channel: 'support' } });
    await process.recipients.service.stop();
    const channels = [{ channel: 'support', shard: 0, after: 0 }];
    const { recipients } = bed.operators;
    const found = await recipients.find({ tenant: 'default', recipient: '+49 1', channels, limit: 9 });
    expect(found).toMatchObject([{ id: (await bed.row('r')).id }]);
  });

  it('appends those of a room in their original order, linked, and once', async () => {
    const steered = await SteeringBed.start();
    const { bed } = steered;
    await steered.fail('r', ['a', 'b', 'c']);
    await steered.fail('s', ['d']);
    heal(steered);
    const filter = { channel: 'support' };
    const foreseen = await steered.post(`${LETTERS}:replay`, { filter, dryRun: true });
    expect(foreseen.body).toMatchObject({ dryRun: true, replayed: 0, refused: 0, more: false });
    const order = foreseen.body.letters.map(
      ({ room, from }: { room: string; from: { sequence: number } }) => `${room}${from.sequence}`,
    );
    expect(order).toEqual(['r1', 'r2', 'r3', 's1']);
    expect((await bed.row('r')).tail).toBe(3);
    // Whatever the order in which they are named.
    const ids = foreseen.body.letters.map(({ letter }: { letter: number }) => letter).reverse();
    const { status, body } = await steered.post(`${LETTERS}:replay`, { ids: [...ids, 999], reason: 'it works again' });
    expect(status).toBe(200);
    expect(body).toMatchObject({ dryRun: false, replayed: 4, refused: 1 });
    expect(body.letters.filter(({ room }: { room: string }) => room === 'r')).toMatchObject(
      [1, 2, 3].map((n) => ({ result: 'replayed', from: { sequence: n }, to: { sequence: n + 3 } })),
    );
    expect(body.letters.at(-1)).toMatchObject({
      letter: 999,
      result: 'refused',
      error: { code: 'dead_letter_not_found' },
    });
    await bed.time.advance(30_000);
    expect(bed.platform.log.filter((sent) => sent.startsWith('r/')).slice(3)).toEqual(['r/a', 'r/b', 'r/c']);
    const [first] = body.letters.filter(({ from }: { from: { id: string } | null }) => from !== null);
    const message = await steered.get(`/v1/messages/${first.to.id}`);
    expect(message.body.messageId).toBe(`replay:${first.from.id}`);
    expect(message.body.replays).toBe(first.from.id);

    const again = await steered.post(`${LETTERS}:replay`, { ids });
    expect(again.body.letters).toMatchObject(
      body.letters
        .slice(0, 4)
        .map(({ letter, to }: { letter: number; to: object }) => ({ letter, result: 'already', to })),
    );
    expect(again.body.replayed).toBe(0);
    expect((await steered.post(`${LETTERS}:replay`, { filter })).body.letters).toEqual([]);
    expect((await bed.row('r')).tail).toBe(6);
    const letters = (await steered.get(`${LETTERS}?state=replayed`)).body.letters;
    expect(letters).toHaveLength(4);
    expect(letters.at(-1)).toMatchObject({ closedBy: 'operate', replayedAs: { sequence: 4 } });
    const notes = await steered.audited();
    expect(notes).toMatchObject([{ action: 'dead_letter.replay', detail: { reason: 'it works again' } }]);
  });

  it('of one group takes exactly its letters, in order, and leaves those of the same code and other words', async () => {
    const steered = await SteeringBed.start();
    const { bed } = steered;
    await steered.fail('r', ['a'], 'blocked', 'b10cced');
    await steered.fail('r', ['b'], 'blocked', 'de1e7ed');
    await steered.fail('r', ['c'], 'blocked', 'b10cced');
    await steered.fail('s', ['d'], 'blocked');
    await steered.fail('s', ['e'], 'blocked', 'de1e7ed');
    heal(steered);
    await bed.time.advance(1_000);
    const { failures } = (await steered.get('/v1/failures')).body;
    expect(failures).toHaveLength(3);
    expect(
      new Set(failures.map(({ channel, code }: { channel: string; code: string }) => `${channel} ${code}`)),
    ).toEqual(new Set(['support blocked']));
    const fingerprintsOf = async (query: string): Promise<[string, string][]> =>
      (await steered.get(`${LETTERS}?${query}`)).body.letters.map(
        (letter: { room: string; message: { sequence: number }; fingerprint: string }) => [
          `${letter.room}${letter.message.sequence}`,
          letter.fingerprint,
        ],
      );
    const groups = new Map(await fingerprintsOf('code=blocked'));
    const told = groups.get('r1');
    expect(new Set(groups.values())).toEqual(
      new Set(failures.map(({ fingerprint }: { fingerprint: string }) => fingerprint)),
    );
    const named = async (fingerprint: string | undefined) =>
      (await fingerprintsOf(`fingerprint=${fingerprint}`)).map(([name]) => name);
    expect(await named(told)).toEqual(['r3', 'r1']);
    expect(await named(groups.get('s1'))).toEqual(['s1']);

    const filter = { fingerprint: told };
    const foreseen = await steered.post(`${LETTERS}:replay`, { filter, dryRun: true });
    expect(foreseen.body.letters).toMatchObject([
      { result: 'replayable', room: 'r', from: { sequence: 1 } },
      { result: 'replayable', room: 'r', from: { sequence: 3 } },
    ]);
    expect((await steered.post(`${LETTERS}:replay`, { filter })).body).toMatchObject({ replayed: 2, refused: 0 });
    await bed.time.advance(30_000);
    expect(bed.platform.log.filter((sent) => sent.startsWith('r/')).slice(3)).toEqual(['r/a', 'r/c']);
    expect((await fingerprintsOf('state=open')).map(([name]) => name)).toEqual(['s2', 's1', 'r2']);

    const others = { fingerprint: groups.get('s2'), channel: 'support' };
    expect((await steered.post(`${LETTERS}:replay`, { filter: others })).body.replayed).toBe(2);
    await bed.time.advance(30_000);
    expect(
      bed.platform.log
        .slice(5)
        .filter((sent) => /[be]$/.test(sent))
        .sort(),
    ).toEqual(['r/b', 's/e']);
    expect((await fingerprintsOf('state=open')).map(([name]) => name)).toEqual(['s1']);
  });

  it('of a group finds a message by what it failed with last, however it had failed before', async () => {
    const steered = await SteeringBed.start();
    const { bed, process } = steered;
    const texts = ['0ne', 'tw0', 'thr33', 'f0ur', 'f1ve'];
    bed.platform.answers = () => ({
      kind: 'refused',
      nack: nackOf({ code: 'busy', textDigest: texts[bed.platform.sends.length - 1] ?? '' }),
    });
    await process.publish('r', ['a']);
    await bed.time.until(() => bed.platform.sends.length === 5);
    await bed.time.advance(2_000);
    const { failures } = (await steered.get('/v1/failures')).body;
    const dead = failures.filter(({ deadLetters }: { deadLetters: number }) => deadLetters > 0);
    expect(failures).toHaveLength(5);
    expect(dead).toMatchObject([{ code: 'busy', count: 1, deadLetters: 1 }]);
    const { letters } = (await steered.get(`${LETTERS}?fingerprint=${dead[0].fingerprint}`)).body;
    expect(letters).toMatchObject([{ room: 'r', reason: 'attempts_exhausted', fingerprint: dead[0].fingerprint }]);
  });

  it('that was interrupted before the letters were linked links them when it is repeated', async () => {
    const steered = await SteeringBed.start();
    await steered.fail('r', ['a', 'b']);
    heal(steered);
    const { letters } = steered.bed.operators;
    const mark = letters.markReplayed.bind(letters);
    letters.markReplayed = () => Promise.reject(new Error('the store is away'));
    const all = { filter: { channel: 'support' } };
    expect(await steered.post(`${LETTERS}:replay`, all)).toMatchObject({ status: 503, body: { code: 'not_ready' } });
    letters.markReplayed = mark;
    const { body } = await steered.post(`${LETTERS}:replay`, all);
    expect(body.letters).toMatchObject([3, 4].map((sequence) => ({ result: 'already', to: { sequence } })));
    expect((await steered.bed.row('r')).tail).toBe(4);
    expect((await steered.get(`${LETTERS}?state=open`)).body.letters).toEqual([]);
  });

  it('several at the same time append once, and link to the same', async () => {
    const steered = await SteeringBed.start();
    await steered.fail('r', ['a', 'b', 'c']);
    heal(steered);
    const replays = await Promise.all(
      [1, 2, 3, 4].map(() => steered.post(`${LETTERS}:replay`, { filter: { channel: 'support' } })),
    );
    const links = replays.map(({ body }) => body.letters.map(({ to }: { to: object | null }) => to));
    const [first, ...others] = links.filter((each) => each.length > 0);
    expect(first).toMatchObject([4, 5, 6].map((sequence) => ({ sequence })));
    for (const other of others) expect(other).toEqual(first);
    expect(replays.reduce((sum, { body }) => sum + body.replayed, 0)).toBe(3);
    expect((await steered.bed.row('r')).tail).toBe(6);
  });

  it('of more than one call may hold replays nothing', async () => {
    const steered = await SteeringBed.start();
    for (let n = 0; n < 9; n++) await putPayload(steered, `large-${n}`, new Uint8Array(8 * 1_048_576));
    const refused = await steered.post(`${LETTERS}:replay`, { filter: {} });
    expect(refused).toMatchObject({ status: 413, body: { code: 'batch_too_large' } });
    expect((await steered.post(`${LETTERS}:discard`, { filter: {} })).body.discarded).toHaveLength(9);
  });

  it('of a replay that failed again is a replay of the new message', async () => {
    const steered = await SteeringBed.start();
    await steered.fail('r', ['a']);
    steered.bed.platform.answers = () => ({ kind: 'refused', nack: nackOf({ permanent: true }) });
    await steered.post(`${LETTERS}:replay`, { filter: {} });
    await steered.bed.time.advance(1_000);
    heal(steered);
    const { body } = await steered.post(`${LETTERS}:replay`, { filter: {} });
    expect(body.letters).toMatchObject([{ from: { sequence: 2 }, to: { sequence: 3 } }]);
  });

  it('of a payload goes through the ordinary intake, corrected where that is given', async () => {
    const steered = await SteeringBed.start();
    heal(steered);
    await putPayload(steered, 'bad', '{"channel":"support"}');
    await putPayload(steered, 'good', '{"channel":"support","room":"r","content":{"id":"x"}}', 'ordering_key_mismatch');
    const [good, bad] = idsOf((await steered.get(LETTERS)).body);
    expect(await steered.post(`${LETTERS}/${bad}/replay`)).toMatchObject({
      status: 400,
      body: { code: 'field_missing' },
    });
    expect((await steered.post(`${LETTERS}/${good}/replay`)).body.letters).toMatchObject([
      { result: 'replayed', from: null, to: { sequence: 1 }, room: 'r' },
    ]);
    const message = { channel: 'support', room: 'r', content: { id: 'y' } };
    const dry = await steered.post(`${LETTERS}/${bad}/replay`, { message, dryRun: true });
    expect(dry.body).toMatchObject({ replayed: 0, letters: [{ result: 'replayable' }] });
    const corrected = await steered.post(`${LETTERS}/${bad}/replay`, { message });
    expect(corrected.body).toMatchObject({ replayed: 1, letters: [{ to: { sequence: 2 } }] });
    expect((await steered.get(`/v1/messages/${corrected.body.letters[0].to.id}`)).body.messageId).toBe(`letter:${bad}`);
    expect((await steered.post(`${LETTERS}/${bad}/replay`, { message })).body.letters).toMatchObject([
      { result: 'already', to: { sequence: 2 } },
    ]);
    await steered.fail('s', ['a']);
    const [ofMessage] = idsOf((await steered.get(`${LETTERS}?kind=message`)).body);
    expect(await steered.post(`${LETTERS}/${ofMessage}/replay`, { message })).toMatchObject({
      status: 400,
      body: { code: 'field_invalid', field: 'message' },
    });
  });
});

describe('discard', () => {
  it('closes letters for good, alone and by filter', async () => {
    const steered = await SteeringBed.start();
    await steered.fail('r', ['a', 'b', 'c']);
    heal(steered);
    const [third, second, first] = idsOf((await steered.get(LETTERS)).body);
    const dry = await steered.post(`${LETTERS}/${first}/discard`, { dryRun: true });
    expect(dry.body).toMatchObject({ dryRun: true, discarded: [first] });
    expect(await steered.audited()).toEqual([]);
    const discarded = await steered.post(`${LETTERS}/${first}/discard`, { reason: 'spam' });
    expect(discarded).toMatchObject({ status: 200, body: { dryRun: false, discarded: [first], refused: [] } });
    expect((await steered.post(`${LETTERS}/${first}/discard`)).body).toMatchObject({ discarded: [first] });
    expect(await steered.post(`${LETTERS}/${first}/replay`)).toMatchObject({
      status: 409,
      body: { code: 'dead_letter_closed' },
    });
    await steered.post(`${LETTERS}/${second}/replay`);
    expect(await steered.post(`${LETTERS}/${second}/discard`)).toMatchObject({
      status: 409,
      body: { code: 'dead_letter_closed' },
    });
    const rest = await steered.post(`${LETTERS}:discard`, { ids: [first, second, third, 77] });
    expect(rest.body.discarded.toSorted()).toEqual([first, third]);
    expect(rest.body.refused).toMatchObject([
      { letter: 77, error: { code: 'dead_letter_not_found' } },
      { letter: second, error: { code: 'dead_letter_closed' } },
    ]);
    expect((await steered.post(`${LETTERS}:discard`, { filter: { channel: 'support' } })).body.discarded).toEqual([]);
    expect((await steered.audited()).map(({ action, subject }) => `${action} ${subject}`)).toEqual([
      `dead_letter.discard dead_letter:${third}`,
      `dead_letter.replay dead_letter:${second}`,
      `dead_letter.discard dead_letter:${first}`,
    ]);
  });
});

describe('GET /v1/failures', () => {
  it('groups what failed, once each, without a write of its own for any', async () => {
    const steered = await SteeringBed.start();
    const { bed, process } = steered;
    let merges = 0;
    const { failures } = bed.operators;
    const merge = failures.merge.bind(failures);
    failures.merge = (counted) => {
      merges++;
      return merge(counted);
    };
    await steered.fail(
      'r',
      Array.from({ length: 50 }, (_, index) => `${index}`),
    );
    await steered.fail('s', ['x'], 'blocked');
    await process.publish('t', ['y']);
    await bed.platform.last.fail('timeout');
    process.instruments.telemetry.emit('intake.refused', { source: 'pubsub', code: 'field_missing' });
    await bed.time.advance(1_000);
    expect(merges).toBeLessThanOrEqual(2);
    const { status, body } = await steered.get('/v1/failures');
    expect(status).toBe(200);
    const shown = (body.failures as { kind: string; code: string; count: number; deadLetters: number }[])
      .map(({ kind, code, count, deadLetters }) => `${kind} ${code} ${count} ${deadLetters}`)
      .sort();
    expect(shown).toEqual([
      'intake field_missing 1 1',
      'refused blocked 1 1',
      'refused no_such_number 50 50',
      'unknown timeout 1 0',
    ]);
    const ofChannel = (await steered.get(`/v1/failures?channel=${CHANNEL.channel}&limit=9`)).body.failures;
    expect(ofChannel).toHaveLength(3);
    const refused = ofChannel.find(({ code }: { code: string }) => code === 'no_such_number');
    expect(refused).toMatchObject({
      tenant: 'default',
      channel: 'support',
      sample: { id: await steered.id('r', 50), sequence: 50 },
    });
    expect(refused.firstSeen).toBeGreaterThanOrEqual(START);
    expect(refused.fingerprint).toMatch(/^[0-9a-f]{32}$/);
    expect((await steered.get(`/v1/failures?since=${START + 900_000}`)).body.failures).toEqual([]);
  });

  it('counts on after the store was away, and an exhausted message once as such', async () => {
    const steered = await SteeringBed.start();
    const { bed, process } = steered;
    const { failures } = bed.operators;
    const merge = failures.merge.bind(failures);
    failures.merge = () => Promise.reject(new Error('the store is away'));
    bed.platform.answers = () => ({ kind: 'refused', nack: nackOf({ code: 'busy' }) });
    await process.publish('r', ['a']);
    await bed.time.until(() => bed.platform.sends.length === 5);
    await bed.time.advance(2_000);
    failures.merge = merge;
    await bed.time.advance(1_000);
    expect((await steered.get('/v1/failures')).body.failures).toMatchObject([
      { kind: 'refused', code: 'busy', count: 5, deadLetters: 1 },
    ]);
  });
});

describe('what nobody can mean', () => {
  const many = Array.from({ length: 1_001 }, (_, index) => index + 1);
  it.each([
    ['GET', `${LETTERS}?limit=0`, undefined, 400, 'field_invalid'],
    ['GET', `${LETTERS}?limit=Infinity`, undefined, 400, 'field_type'],
    ['GET', `${LETTERS}?cursor=1`, undefined, 400, 'field_invalid'],
    ['GET', `${LETTERS}?cursor=1.-1`, undefined, 400, 'field_invalid'],
    ['GET', `${LETTERS}?cursor=${'9'.repeat(16)}.1`, undefined, 400, 'field_invalid'],
    ['GET', `${LETTERS}?room=r`, undefined, 400, 'field_missing'],
    ['GET', `${LETTERS}?channel=support&room=nobody`, undefined, 404, 'room_not_found'],
    ['GET', `${LETTERS}?channel=%00`, undefined, 400, 'text_nul_or_surrogate'],
    ['GET', `${LETTERS}?reason=%00`, undefined, 400, 'text_nul_or_surrogate'],
    ['GET', `${LETTERS}?state=lost`, undefined, 400, 'field_invalid'],
    ['GET', `${LETTERS}?kind=both`, undefined, 400, 'field_invalid'],
    ['GET', `${LETTERS}?fingerprint=beef`, undefined, 400, 'field_invalid'],
    ['GET', `${LETTERS}?from=-1`, undefined, 400, 'field_invalid'],
    ['GET', `${LETTERS}?until=Infinity`, undefined, 400, 'field_type'],
    ['GET', `${LETTERS}?bogus=1`, undefined, 400, 'field_unknown'],
    ['GET', `${LETTERS}/0`, undefined, 404, 'dead_letter_not_found'],
    ['GET', `${LETTERS}/1e3`, undefined, 404, 'dead_letter_not_found'],
    ['GET', `${LETTERS}/${'9'.repeat(30)}`, undefined, 404, 'dead_letter_not_found'],
    ['GET', `${LETTERS}/77`, undefined, 404, 'dead_letter_not_found'],
    ['POST', `${LETTERS}/77/replay`, undefined, 404, 'dead_letter_not_found'],
    ['POST', `${LETTERS}/77/discard`, undefined, 404, 'dead_letter_not_found'],
    ['POST', `${LETTERS}/1/replay`, { message: 7 }, 400, 'field_invalid'],
    ['POST', `${LETTERS}/1/discard`, { message: {} }, 400, 'field_unknown'],
    ['POST', LETTERS, {}, 405, 'method_not_allowed'],
    ['GET', `${LETTERS}:replay`, undefined, 405, 'method_not_allowed'],
    ['POST', `${LETTERS}:replay`, {}, 400, 'field_invalid'],
    ['POST', `${LETTERS}:replay`, '', 400, 'field_invalid'],
    ['POST', `${LETTERS}:replay`, { ids: [1], filter: {} }, 400, 'field_invalid'],
    ['POST', `${LETTERS}:replay`, { ids: [] }, 400, 'field_invalid'],
    ['POST', `${LETTERS}:replay`, { ids: [0] }, 400, 'field_invalid'],
    ['POST', `${LETTERS}:replay`, { ids: [1.5] }, 400, 'field_invalid'],
    ['POST', `${LETTERS}:replay`, { ids: ['1'] }, 400, 'field_type'],
    ['POST', `${LETTERS}:replay`, { ids: 1 }, 400, 'field_type'],
    ['POST', `${LETTERS}:replay`, { ids: many }, 400, 'field_invalid'],
    ['POST', `${LETTERS}:replay`, { ids: [1], limit: 1 }, 400, 'field_invalid'],
    ['POST', `${LETTERS}:replay`, { filter: [] }, 400, 'field_type'],
    ['POST', `${LETTERS}:replay`, { filter: null }, 400, 'field_type'],
    ['POST', `${LETTERS}:replay`, { filter: { state: 'open' } }, 400, 'field_unknown'],
    ['POST', `${LETTERS}:replay`, { filter: { kind: 'x' } }, 400, 'field_invalid'],
    ['POST', `${LETTERS}:replay`, { filter: { fingerprint: 'F'.repeat(32) } }, 400, 'field_invalid'],
    ['POST', `${LETTERS}:replay`, { filter: { fingerprint: 7 } }, 400, 'field_type'],
    ['POST', `${LETTERS}:replay`, { filter: { reason: 7 } }, 400, 'field_type'],
    ['POST', `${LETTERS}:replay`, { filter: { reason: 'x'.repeat(300) } }, 400, 'id_too_long'],
    ['POST', `${LETTERS}:replay`, { filter: { from: '1' } }, 400, 'field_type'],
    ['POST', `${LETTERS}:replay`, { filter: { from: -1 } }, 400, 'field_type'],
    ['POST', `${LETTERS}:replay`, { filter: { room: 'r' } }, 400, 'field_missing'],
    ['POST', `${LETTERS}:replay`, { filter: {}, limit: 0 }, 400, 'field_invalid'],
    ['POST', `${LETTERS}:replay`, { filter: {}, limit: 1_001 }, 400, 'field_invalid'],
    ['POST', `${LETTERS}:replay`, { filter: {}, limit: '1' }, 400, 'field_type'],
    ['POST', `${LETTERS}:discard`, { filter: { a: { b: { c: { d: { e: { f: 1 } } } } } } }, 400, 'body_too_deep'],
    ['POST', `${LETTERS}:discard`, { everything: true }, 400, 'field_unknown'],
    ['GET', '/v1/failures?limit=1000', undefined, 400, 'field_invalid'],
    ['GET', '/v1/failures?since=Infinity', undefined, 400, 'field_type'],
    ['GET', '/v1/failures?channel=', undefined, 400, 'field_invalid'],
  ] as const)('%s %s with %o is %i %s, and changes nothing', async (method, path, body, status, code) => {
    const steered = await SteeringBed.start();
    await steered.fail('r', ['a']);
    expect(await steered.call(method, path, body)).toMatchObject({ status, body: { code } });
    expect((await steered.get(LETTERS)).body.letters).toMatchObject([{ state: 'open' }]);
    expect((await steered.bed.row('r')).tail).toBe(1);
    expect(await steered.audited()).toEqual([]);
  });
});
