/** Operators' orders about rooms and messages over HTTP: what is answered, and what becomes of the room. */
import { describe, expect, it } from 'vitest';
import { CHANNEL, channelOf, nackOf, settled } from '../support/engine.ts';
import { SteeringBed } from '../support/steering.ts';

const HOLDS = channelOf({ policy: { failurePolicy: 'hold' } });
const ROOM = `/v1/rooms/${CHANNEL.channel}/r`;

describe.each([
  ['by the holder', true],
  ['by another process', false],
] as const)('an order given %s', (_who, holds) => {
  const start = (options = {}) => SteeringBed.start(options, holds);
  /** The holder hears of it, or finds it by its sweep. */
  const heard = (steered: SteeringBed) => steered.bed.time.advance(holds ? 1 : 6_000);

  it('pause: nothing further is sent until resume, what is open goes on', async () => {
    const steered = await start();
    const { bed, process } = steered;
    await process.publish('r', ['a', 'b']);
    await heard(steered);
    const paused = await steered.post(`${ROOM}/pause`, { reason: 'wrong text' });
    expect(paused).toMatchObject({
      status: 200,
      body: { order: 'pause', changed: true, dryRun: false, effect: 'after_attempt', room: { paused: true } },
    });
    expect((await steered.post(`${ROOM}/pause`)).body).toMatchObject({ changed: false, effect: 'after_attempt' });
    await bed.platform.last.accept();
    await process.ack(bed, 'r', 1);
    await bed.time.advance(20_000);
    expect(bed.platform.log).toEqual(['r/a']);
    expect(await bed.row('r')).toMatchObject({ phase: 'waiting', reason: 'paused', settled: 1 });
    expect((await steered.post(`${ROOM}/resume`)).body).toMatchObject({ changed: true, effect: 'at_once' });
    expect((await steered.post(`${ROOM}/resume`)).body).toMatchObject({ changed: false });
    await heard(steered);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    expect(await steered.audited()).toMatchObject([
      { actor: 'operate', action: 'room.resume', detail: {} },
      { actor: 'operate', action: 'room.pause', detail: { reason: 'wrong text' } },
    ]);
  });

  it('skip of an open attempt takes effect when it ends, of one that waits for its ack at once', async () => {
    const steered = await start();
    const { bed, process } = steered;
    await process.publish('r', ['a', 'b']);
    await heard(steered);
    const [first] = bed.platform.sends;
    expect((await steered.order('r', 1, 'skip')).body).toMatchObject({ changed: true, effect: 'after_attempt' });
    expect((await steered.order('r', 1, 'skip')).body).toMatchObject({ changed: false, effect: 'after_attempt' });
    expect(await steered.order('r', 1, 'cancel')).toMatchObject({ status: 409, body: { code: 'order_pending' } });
    expect(await bed.row('r')).toMatchObject({ settled: 0 });
    await first?.accept();
    await heard(steered);
    expect(await bed.outcomes('r')).toEqual(['skipped']);
    await bed.platform.last.accept();
    const skipped = await steered.order('r', 2, 'skip');
    expect(skipped.body).toMatchObject({ changed: true, effect: 'at_once', message: { outcome: 'skipped' } });
    expect((await steered.order('r', 2, 'skip')).body).toMatchObject({ changed: false, effect: 'at_once' });
    expect(await steered.order('r', 2, 'cancel')).toMatchObject({
      status: 409,
      body: { code: 'message_settled', detail: 'The message has settled as skipped' },
    });
  });

  it('cancel of a later message settles it at its turn, without an attempt', async () => {
    const steered = await start();
    const { bed, process } = steered;
    await process.publish('r', ['a', 'b', 'c']);
    await heard(steered);
    expect((await steered.order('r', 2, 'cancel')).body).toMatchObject({
      changed: true,
      effect: 'at_its_turn',
      message: { state: 'waiting', cancelled: true, cancelledBy: 'operator' },
    });
    expect((await steered.order('r', 2, 'cancel')).body).toMatchObject({ changed: false, effect: 'at_its_turn' });
    expect(await steered.order('r', 2, 'skip')).toMatchObject({ status: 409, body: { code: 'message_not_head' } });
    await bed.platform.last.accept();
    await process.ack(bed, 'r', 1);
    await heard(steered);
    expect(bed.platform.log).toEqual(['r/a', 'r/c']);
    expect(await bed.outcomes('r')).toEqual(['acked', 'cancelled']);
  });

  it('retry sends a held head again at once, in its place', async () => {
    const steered = await start({ channels: [HOLDS] });
    const { bed, process } = steered;
    await process.publish('r', ['a', 'b']);
    await heard(steered);
    expect(await steered.order('r', 1, 'retry')).toMatchObject({ status: 409, body: { code: 'message_not_held' } });
    await bed.platform.last.answer({ kind: 'refused', nack: nackOf({ permanent: true }) });
    expect(await bed.row('r')).toMatchObject({ phase: 'held' });
    expect(await steered.order('r', 2, 'retry')).toMatchObject({ status: 409, body: { code: 'message_not_head' } });
    expect((await steered.order('r', 1, 'retry')).body).toMatchObject({ changed: true, effect: 'at_once' });
    await heard(steered);
    expect(bed.platform.log).toEqual(['r/a', 'r/a']);
  });
});

describe('orders', () => {
  it('cancel far behind the head is known when it is repeated', async () => {
    const steered = await SteeringBed.start();
    await steered.process.publish(
      'r',
      Array.from({ length: 40 }, (_, index) => `${index}`),
    );
    expect((await steered.order('r', 40, 'cancel')).body).toMatchObject({ changed: true, effect: 'at_its_turn' });
    expect((await steered.order('r', 40, 'cancel')).body).toMatchObject({ changed: false, effect: 'at_its_turn' });
    expect(await steered.audited()).toHaveLength(1);
  });

  it('retry of a paused room waits for resume', async () => {
    const steered = await SteeringBed.start({ channels: [HOLDS] });
    const { bed, process } = steered;
    await process.publish('r', ['a']);
    await bed.platform.last.answer({ kind: 'refused', nack: nackOf({ permanent: true }) });
    await steered.post(`${ROOM}/pause`);
    expect((await steered.order('r', 1, 'retry')).body).toMatchObject({ changed: true, effect: 'after_resume' });
    await bed.time.advance(1_000);
    expect(bed.platform.log).toEqual(['r/a']);
    await steered.post(`${ROOM}/resume`);
    expect(bed.platform.log).toEqual(['r/a', 'r/a']);
  });

  it('only say in a dry run what would happen', async () => {
    const steered = await SteeringBed.start();
    await steered.process.publish('r', ['a', 'b']);
    const before = await steered.bed.row('r');
    const dry = { dryRun: true };
    expect((await steered.post(`${ROOM}/pause`, dry)).body).toMatchObject({
      changed: true,
      dryRun: true,
      effect: 'after_attempt',
      room: { paused: false },
    });
    expect((await steered.order('r', 1, 'skip', dry)).body).toMatchObject({ changed: true, effect: 'after_attempt' });
    expect((await steered.order('r', 2, 'cancel', dry)).body).toMatchObject({ effect: 'at_its_turn' });
    expect(await steered.bed.row('r')).toEqual(before);
    expect(await steered.audited()).toEqual([]);
    expect(steered.backend.logged.filter(({ event }) => event === 'operator.acted')).toEqual([]);
  });

  it('are in the audit before they take effect, and take none where the audit is away', async () => {
    const steered = await SteeringBed.start();
    const { bed } = steered;
    await steered.process.publish('r', ['a']);
    const { audit } = bed.operators;
    const record = audit.record.bind(audit);
    audit.record = () => Promise.reject(new Error('the store is away'));
    expect(await steered.post(`${ROOM}/pause`)).toMatchObject({ status: 503, body: { code: 'not_ready' } });
    expect(await bed.row('r')).toMatchObject({ paused: false });
    audit.record = record;
    expect(await steered.post(`${ROOM}/pause`)).toMatchObject({ status: 200 });
    expect(JSON.stringify(await steered.audited())).not.toContain('"r"');
  });

  it('need the scope operate', async () => {
    const steered = await SteeringBed.start();
    await steered.process.publish('r', ['a']);
    const id = await steered.id('r', 1);
    for (const path of [`${ROOM}/pause`, `${ROOM}/resume`, `/v1/messages/${id}/skip`, `/v1/dead-letters/1/replay`]) {
      for (const scope of ['read', 'publish'] as const) {
        expect(await steered.call('POST', path, {}, scope)).toMatchObject({ status: 403 });
      }
    }
  });

  it.each([
    ['/v1/rooms/support/nobody/pause', undefined, 404, 'room_not_found'],
    ['/v1/rooms/other/r/pause', undefined, 404, 'room_not_found'],
    [`${ROOM}/pause?tenant=nobody`, undefined, 404, 'room_not_found'],
    [`${ROOM}/pause?tenant=`, undefined, 400, 'field_invalid'],
    [`${ROOM}/pause?force=1`, undefined, 400, 'field_unknown'],
    [`${ROOM}/stop`, undefined, 404, 'not_found'],
    [`/v1/rooms/support/${'x'.repeat(300)}/pause`, undefined, 400, 'id_too_long'],
    ['/v1/rooms/support/%00/pause', undefined, 400, 'text_nul_or_surrogate'],
    ['/v1/messages/nothing/skip', undefined, 404, 'message_not_found'],
    [`/v1/messages/${'A'.repeat(26)}/cancel`, undefined, 404, 'message_not_found'],
    [`${ROOM}/pause`, '[]', 400, 'field_type'],
    [`${ROOM}/pause`, '{"reason":', 400, 'body_malformed_json'],
    [`${ROOM}/pause`, { reason: 7 }, 400, 'field_type'],
    [`${ROOM}/pause`, { reason: 'x'.repeat(501) }, 400, 'field_invalid'],
    [`${ROOM}/pause`, { reason: 'a\u0000b' }, 400, 'text_nul_or_surrogate'],
    [`${ROOM}/pause`, '{"reason":"\\ud800"}', 400, 'text_nul_or_surrogate'],
    [`${ROOM}/pause`, { dryRun: 'yes' }, 400, 'field_type'],
    [`${ROOM}/pause`, { why: 'x' }, 400, 'field_unknown'],
    [`${ROOM}/pause`, { reason: 'x'.repeat(70_000) }, 413, 'body_too_large'],
  ])('POST %s with %o is %i %s', async (path, body, status, code) => {
    const steered = await SteeringBed.start();
    await steered.process.publish('r', ['a']);
    expect(await steered.post(path, body)).toMatchObject({ status, body: { code } });
    expect(await bedUntouched(steered)).toBe(true);
  });

  async function bedUntouched({ bed }: SteeringBed): Promise<boolean> {
    await settled();
    return (
      !(await bed.row('r')).paused &&
      (await bed.operators.audit.list({ before: null, limit: 1, subject: null })).length === 0
    );
  }
});
