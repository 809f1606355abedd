/** One dead letter: what failed, how it was tried, and what was in it. */
import { useState } from 'preact/hooks';
import { Link } from 'wouter-preact';
import type { MessageRequest, RoomlineClient } from '../../client/client.ts';
import { api, useResource } from '../api.ts';
import { counted, duration, fullTime, preciseTime, words } from '../format.ts';
import { Act } from '../ui/confirm.tsx';
import { Modal } from '../ui/modal.tsx';
import { Badge, Facts, Field, Time } from '../ui/parts.tsx';
import { Loaded, Notice } from '../ui/states.tsx';
import { Table } from '../ui/table.tsx';
import { channelLabel, DEFAULT_TENANT, roomHref } from './room-links.ts';
import { DiscardAct, ReplayAct } from './trouble-acts.tsx';
import { STATE_TONES } from './trouble-letters.tsx';

type Detail = Awaited<ReturnType<RoomlineClient['deadLetters']['get']>>;

export interface LetterDetailProps {
  readonly id: number;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

export function LetterDetail({ id, onClose, onDone }: LetterDetailProps) {
  const letter = useResource(() => api().deadLetters.get(id), [id]);
  const done = (): void => {
    void letter.refresh();
    onDone();
  };
  const isOpen = letter.data?.state === 'open';
  return (
    <Modal
      title={`Dead letter #${id}`}
      wide
      onClose={onClose}
      actions={
        <>
          <DiscardAct selection={{ ids: [id] }} disabled={!isOpen} onDone={done}>
            Discard…
          </DiscardAct>
          <ReplayAct kind="primary" selection={{ ids: [id] }} disabled={!isOpen} onDone={done}>
            Replay…
          </ReplayAct>
        </>
      }
    >
      <Loaded of={letter} what="Asking for the letter">
        {(detail) => (
          <div class="stack">
            <Headline {...detail} />
            <Attempts {...detail} />
            {detail.body !== undefined && <Contents title="Recipient and content" text={pretty(detail.body)} />}
            {detail.payload !== undefined && <Payload detail={detail} onDone={done} />}
          </div>
        )}
      </Loaded>
    </Modal>
  );
}

function Headline(letter: Detail) {
  const { kind, tenant, channel, room, message, reason, code, detail, fingerprint } = letter;
  const { at, state, closedAt, closedBy, replayedAs } = letter;
  const place = channel === null || room === null ? null : { tenant: tenant ?? DEFAULT_TENANT, channel, room };
  const closed =
    closedAt === null ? null : `${state} ${fullTime(closedAt)}${closedBy === null ? '' : ` by ${closedBy}`}`;
  return (
    <>
      <div class="row">
        <Badge tone={STATE_TONES[state]}>{state}</Badge>
        <strong>{words(reason)}</strong>
        {code !== null && <code>{code}</code>}
      </div>
      {detail !== null && <p>{detail}</p>}
      {closed !== null && <p class="muted">It was {closed}.</p>}
      <Facts
        items={[
          ['Kind', kind === 'intake' ? 'payload refused at intake' : 'message'],
          ['Written', <Time key="at" at={at} />],
          ...(place === null
            ? []
            : ([
                [
                  'Room',
                  <Link key="room" href={roomHref(place)}>
                    {place.room}
                  </Link>,
                ],
                ['Channel', channelLabel(place)],
              ] as const)),
          ...(message === null
            ? []
            : ([
                ['Sequence', String(message.sequence)],
                ['Message', <code key="id">{message.id}</code>],
              ] as const)),
          ...(fingerprint === null
            ? []
            : ([
                [
                  'Failure',
                  <Link key="group" href={`/trouble?${new URLSearchParams({ fingerprint })}`}>
                    {fingerprint.slice(0, 8)}
                  </Link>,
                ],
              ] as const)),
          ...(replayedAs === null || place === null
            ? []
            : ([
                [
                  'Replayed as',
                  <Link key="replay" href={roomHref(place, replayedAs.sequence)}>
                    sequence {replayedAs.sequence}
                  </Link>,
                ],
              ] as const)),
        ]}
      />
      {letter.outcome?.possiblyDelivered === true && (
        <Notice tone="warn" title="Possibly delivered.">
          An attempt of it may have reached the platform.
        </Notice>
      )}
    </>
  );
}

function Attempts({ outcome }: Detail) {
  if (outcome === null) return null;
  const { attempts } = outcome;
  return (
    <div>
      <h3>{counted(attempts.length, 'attempt')}</h3>
      {attempts.length > 0 && (
        <Table
          caption="Attempts"
          rows={attempts}
          rowKey={({ number }) => number}
          columns={[
            { key: 'number', title: 'Attempt', cell: ({ number }) => number },
            { key: 'at', title: 'Begun', cell: ({ begunAt }) => preciseTime(begunAt) },
            {
              key: 'took',
              title: 'Took',
              end: true,
              cell: ({ begunAt, endedAt }) => duration(endedAt === null ? null : endedAt - begunAt),
            },
            { key: 'result', title: 'Result', cell: ({ result }) => (result === null ? 'open' : words(result)) },
            { key: 'code', title: 'Code', cell: ({ code }) => (code === null ? '' : <code>{code}</code>) },
          ]}
        />
      )}
    </div>
  );
}

function Contents({ title, text }: { readonly title: string; readonly text: string }) {
  return (
    <div>
      <h3>{title}</h3>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard */}
      <pre class="contents" tabIndex={0}>
        {text}
      </pre>
    </div>
  );
}

/** What intake refused, to be corrected where a person can see what is wrong with it. */
function Payload({ detail, onDone }: { readonly detail: Detail; readonly onDone: () => void }) {
  const { payload, id, state } = detail;
  const data = payload?.data ?? '';
  const [draft, setDraft] = useState(prettyJson(data) ?? data);
  const corrected = messageIn(draft);
  if (payload?.encoding === 'base64') return <Contents title="Payload" text={data} />;
  return (
    <div class="stack">
      <Field
        label="Payload, to be corrected"
        hint="A message as it is published: channel, room, messageId, content."
        fault={corrected === null ? 'This is no JSON object.' : null}
      >
        {(ids) => (
          <textarea
            {...ids}
            class="input mono"
            rows={8}
            spellcheck={false}
            value={draft}
            onInput={({ currentTarget }) => setDraft(currentTarget.value)}
          />
        )}
      </Field>
      <div class="row">
        <Act
          label="Replay it so"
          title="Replay as corrected"
          icon="retry"
          disabled={corrected === null || state !== 'open'}
          asksReason
          preview={async () => {
            await api().deadLetters.replay(id, { message: corrected ?? undefinedMessage(), dryRun: true });
            return <p>Intake takes it so: the message is appended at the tail of its room.</p>;
          }}
          run={async (reason) => {
            const message = corrected ?? undefinedMessage();
            const { letters } = await api().deadLetters.replay(id, {
              message,
              ...(reason === undefined ? {} : { reason }),
            });
            return <>It is message {letters[0]?.to?.sequence} of its room.</>;
          }}
          onDone={onDone}
        />
      </div>
    </div>
  );
}

function undefinedMessage(): never {
  throw new Error('there is no message to replay');
}

function messageIn(text: string): MessageRequest | null {
  try {
    const value: unknown = JSON.parse(text);
    // Whether it is a message that can be taken, the dry run says.
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as MessageRequest) : null;
  } catch {
    return null;
  }
}

function pretty(value: unknown): string {
  return JSON.stringify(value, null, 2);
}

function prettyJson(text: string): string | null {
  try {
    return pretty(JSON.parse(text));
  } catch {
    return null;
  }
}
