/** A picture that takes long to upload, behind a text that waits for its ack: whole processes, the real adapter. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GroundTruthRecord } from '../../simulators/platform/ground-truth.ts';
import { instant } from '../../simulators/platform/settings.ts';
import { withMark } from '../../simulators/platform/text-mark.ts';
import { type Form, load } from '../../simulators/rig/publisher.ts';
import { type Rig, startRig } from '../../simulators/rig/rig.ts';
import { eventually } from '../support/events.ts';
import { CERTIFICATE, type FileServer, file, startFiles } from '../support/files.ts';

const TIMEOUT_MS = 120_000;
const UPLOAD_MS = 2_000;
const DEADLINE_MS = 60_000;
const ACK_TIMEOUT_MS = 60_000;

describe('a picture behind a text', { timeout: TIMEOUT_MS }, () => {
  let directory: string;
  let files: FileServer;
  let rig: Rig;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'roomline-media-'));
    // Run as root, Postgres has an account of its own.
    chmodSync(directory, 0o755);
    files = await startFiles(file(), CERTIFICATE);
    rig = await startRig({
      directory,
      profile: 'whatsapp',
      platformTls: true,
      channels: {
        main: {
          ackTimeoutMs: ACK_TIMEOUT_MS,
          whatsapp: { phoneNumberId: '900000000000002' },
          media: { prepare: true, allowedHosts: [files.host] },
        },
      },
      platform: [instant, { channel: { media: { uploadDelayMs: UPLOAD_MS } } }],
    });
  }, TIMEOUT_MS);

  afterAll(async () => {
    await rig?.stop();
    await files?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const form: Form = ({ messageId, content: { run, index } }) => {
    const text = withMark('Look', { run, key: messageId });
    const content =
      index === 1
        ? { type: 'text', text: { body: text } }
        : { type: 'image', image: { link: files.link(`/${run}.jpg`), caption: text } };
    return { to: '+15550100001', content };
  };

  async function records(): Promise<GroundTruthRecord[]> {
    const all: GroundTruthRecord[] = [];
    for await (const record of rig.platform.groundTruth()) all.push(record);
    return all;
  }

  /** A text and a picture; the text's ack comes when `release` resolves. */
  async function run(name: string, release: () => Promise<unknown>): Promise<GroundTruthRecord[]> {
    await rig.platform.holdWebhooks();
    const { publisher, log } = rig.publisher(name);
    await publisher.publish(load(name, 'main', 1, 2), { form });
    await release();
    await rig.platform.flushWebhooks();
    await rig.untilDrained({ deadlineMs: DEADLINE_MS });
    await rig.untilQuiet({ deadlineMs: DEADLINE_MS });
    const [verdict] = await rig.judge([
      {
        // What goes as an upload is another content than the link that was published.
        published: [...log.entries()].map(({ hash: _hash, ...entry }) => entry),
        final: (await rig.database.finalState('main')).filter(({ room }) => room.startsWith(name)),
        options: { unlockedBy: ['delivered'], ackTimeoutMs: ACK_TIMEOUT_MS, expectedMessages: 2 },
      },
    ]);
    expect(verdict).toMatchObject({ clean: true, messages: { published: 2, shown: 2, lost: 0 } });
    return records();
  }

  const receiptOf = (all: readonly GroundTruthRecord[], name: string, index: number) => {
    const receipts = all.filter((record) => record.t === 'receipt' && record.run === name);
    const found = receipts[index - 1];
    expect(receipts).toHaveLength(2);
    if (found?.t !== 'receipt') throw new Error(`message ${index} never came`);
    return found;
  };

  it('is uploaded before the ack comes, and sent right after it', async () => {
    const all = await run('ahead', () =>
      eventually(
        'the picture is uploaded',
        async () => (await records()).some((record) => record.t === 'upload' && record.decision === 'accepted'),
        { deadlineMs: DEADLINE_MS, everyMs: 50 },
      ),
    );
    const upload = all.find((record) => record.t === 'upload');
    const text = receiptOf(all, 'ahead', 1);
    const picture = receiptOf(all, 'ahead', 2);
    const ack = all.find((record) => record.t === 'call' && record.m.includes(text.m ?? 0));
    if (upload?.t !== 'upload' || ack === undefined) throw new Error('there was no upload, or no ack');
    expect(upload).toMatchObject({ decision: 'accepted', contentType: 'image/jpeg' });
    expect(picture.media).toEqual([upload.id]);
    expect(upload.at - upload.begunAt).toBeGreaterThanOrEqual(UPLOAD_MS);
    expect(upload.at).toBeLessThan(ack.at);
    expect(picture.at).toBeGreaterThan(ack.at);
    expect(files.asked).toEqual(['/ahead.jpg']);
    process.stdout.write(`ack to picture: ${Math.round(picture.at - ack.at)} ms; its upload took ${UPLOAD_MS} ms\n`);
  });

  it('goes as its link where the ack comes first', async () => {
    await rig.platform.change({ channel: { media: { uploadDelayMs: 600_000 } } });
    const all = await run('late', () =>
      eventually(
        'the text is at the platform',
        async () => (await records()).some((record) => record.t === 'receipt' && record.run === 'late'),
        { deadlineMs: DEADLINE_MS, everyMs: 50 },
      ),
    );
    expect(receiptOf(all, 'late', 2)).toMatchObject({ decision: 'accepted' });
    expect(receiptOf(all, 'late', 2)).not.toHaveProperty('media');
  });
});
