/** Every adapter hands on a digest of what its platform says of a failure, and never the words. */
import { describe, expect, it } from 'vitest';
import type { StatusItem } from '../../src/engine/ports.ts';
import { digestOf } from '../../src/platforms/failure-text.ts';
import * as generic from '../../src/platforms/generic/answer.ts';
import { readStatuses as genericStatuses } from '../../src/platforms/generic/statuses.ts';
import type { HttpOutcome } from '../../src/platforms/http-client.ts';
import * as messenger from '../../src/platforms/messaging/answer.ts';
import * as telegram from '../../src/platforms/telegram/answer.ts';
import * as twilio from '../../src/platforms/twilio/answer.ts';
import { createStatusReader } from '../../src/platforms/twilio/statuses.ts';
import * as vonage from '../../src/platforms/vonage/answer.ts';
import { readStatuses as vonageStatuses } from '../../src/platforms/vonage/statuses.ts';
import * as whatsapp from '../../src/platforms/whatsapp/answer.ts';
import { readStatuses as whatsappStatuses } from '../../src/platforms/whatsapp/statuses.ts';

const NUMBER = '+4915112345678';
const WORDS = `The number ${NUMBER} is on no list`;
const SAID = digestOf(WORDS);

function answered(status: number, body: unknown): HttpOutcome {
  return { kind: 'answered', status, headers: {}, body: Buffer.from(JSON.stringify(body)) };
}

const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));
const twilioStatus = (form: Record<string, string>) =>
  createStatusReader('AC1')({
    method: 'POST',
    target: '/v1/webhooks/default/sms?reference=r',
    headers: {},
    raw: Buffer.from(new URLSearchParams(form).toString()),
  });

describe('an answer in words', () => {
  it.each([
    ['generic', generic.classifySend(answered(422, { error: { code: 'x', message: WORDS } }), 0)],
    ['whatsapp', whatsapp.classifySend(answered(400, { error: { code: 131026, message: WORDS } }), 0)],
    ['messenger', messenger.classifySend(answered(400, { error: { code: 551, message: WORDS } }), 0)],
    ['telegram', telegram.classifySend(answered(400, { ok: false, error_code: 400, description: WORDS }), '1', 0)],
    ['twilio', twilio.classifySend(answered(400, { code: 21211, message: WORDS }), 0)],
    ['vonage', vonage.classifySend(answered(422, { type: 'x#1120', detail: WORDS }), 0)],
  ])('%s: a refusal', (_platform, result) => {
    expect(result).toMatchObject({ kind: 'refused', nack: SAID });
    expect(JSON.stringify(result)).not.toContain(NUMBER.slice(1));
  });

  it.each([
    ['generic', generic.classifySend(answered(503, { error: { message: WORDS } }), 0)],
    ['whatsapp', whatsapp.classifySend(answered(503, { error: { code: 1, message: WORDS } }), 0)],
    ['messenger', messenger.classifySend(answered(503, { error: { code: 1, message: WORDS } }), 0)],
    ['telegram', telegram.classifySend(answered(500, { ok: false, error_code: 500, description: WORDS }), '1', 0)],
    ['twilio', twilio.classifySend(answered(500, { code: 20500, message: WORDS }), 0)],
    ['vonage', vonage.classifySend(answered(500, { detail: WORDS }), 0)],
  ])('%s: an outcome that is not known', (_platform, result) => {
    expect(result).toMatchObject({ kind: 'unknown', ...SAID });
  });

  it.each<[string, readonly StatusItem[]]>([
    [
      'generic',
      genericStatuses(bytes({ statuses: [{ reference: 'r', status: 'failed', error: { message: WORDS } }] })),
    ],
    [
      'whatsapp',
      whatsappStatuses(
        bytes({
          object: 'whatsapp_business_account',
          entry: [
            {
              changes: [
                {
                  field: 'messages',
                  value: {
                    statuses: [
                      { id: 'w', status: 'failed', errors: [{ code: 131026, error_data: { details: WORDS } }] },
                    ],
                  },
                },
              ],
            },
          ],
        }),
      ),
    ],
    ['twilio', twilioStatus({ MessageStatus: 'failed', MessageSid: 'SM1', ErrorCode: '30003', ErrorMessage: WORDS })],
    [
      'vonage',
      vonageStatuses(bytes({ message_uuid: 'u', status: 'rejected', error: { title: '1120', detail: WORDS } })),
    ],
  ])('%s: a failed status', (platform, items) => {
    const said = platform === 'vonage' ? digestOf('1120', WORDS) : SAID;
    expect(items).toMatchObject([{ kind: 'status', nack: said }]);
  });
});
