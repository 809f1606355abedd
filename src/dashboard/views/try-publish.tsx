/** One message to one room, or many to many: through the typed client, as a publisher's program does it. */
import { useState } from 'preact/hooks';
import { Link } from 'wouter-preact';
import type { ChannelList, MessageRequest } from '../../client/client.ts';
import { api, troubleOf } from '../api.ts';
import { count, counted, duration } from '../format.ts';
import { Button, Field, Tabs } from '../ui/parts.tsx';
import { Notice } from '../ui/states.tsx';
import { channelLabel, roomHref } from './room-links.ts';

type Shape = 'one' | 'many';

interface Draft {
  /** Its place in the list, for two tenants may have channels of one name. */
  readonly channel: string;
  readonly room: string;
  readonly text: string;
  readonly rooms: string;
  readonly messages: string;
  readonly prefix: string;
}

interface Done {
  readonly accepted: number;
  readonly refused: number;
  /** The first refusal in words. */
  readonly because: string | null;
  readonly tookMs: number;
  readonly first: { readonly tenant: string; readonly channel: string; readonly room: string };
}

/** In all: more is a load test, for which there are commands. */
const MOST = 50_000;

export function Publish({ channels }: { readonly channels: ChannelList['channels'] }) {
  const [shape, setShape] = useState<Shape>('one');
  const [draft, setDraft] = useState<Draft>({
    channel: '0',
    room: '+15550100001',
    text: 'Hello',
    rooms: '200',
    messages: '10',
    prefix: 'try-',
  });
  const [progress, setProgress] = useState<number | null>(null);
  const [done, setDone] = useState<Done | null>(null);
  const [error, setError] = useState<unknown>();
  const set = (name: keyof Draft) => (event: { readonly currentTarget: { readonly value: string } }) =>
    setDraft({ ...draft, [name]: event.currentTarget.value });
  const to = channels[Number(draft.channel)];
  const rooms = shape === 'one' ? 1 : wholeIn(draft.rooms);
  const each = shape === 'one' ? 1 : wholeIn(draft.messages);
  const total = rooms * each;
  const fault = total > MOST ? `At most ${count(MOST)} messages.` : null;
  const named = shape === 'one' ? draft.room !== '' : draft.prefix !== '';
  const ready = total > 0 && fault === null && named && progress === null;

  const publish = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!ready || to === undefined) return;
    const { tenant, channel } = to;
    const { room, text, prefix } = draft;
    const messages =
      shape === 'one' ? [{ tenant, channel, room, content: { text } }] : manyMessages(to, prefix, rooms, each);
    const startedAt = performance.now();
    setDone(null);
    setError(undefined);
    setProgress(0);
    try {
      let [accepted, refused, handled] = [0, 0, 0];
      let because: string | null = null;
      for await (const result of api().publishAll(messages)) {
        if ('error' in result) {
          refused++;
          because ??= `${result.error.detail} (${result.error.code})`;
        } else accepted++;
        if (++handled % 1_000 === 0) setProgress(handled);
      }
      const first = { tenant, channel, room: shape === 'one' ? room : roomName(prefix, 1, rooms) };
      const tookMs = performance.now() - startedAt;
      setDone({ accepted, refused, because, tookMs, first });
    } catch (refused) {
      setError(refused);
    } finally {
      setProgress(null);
    }
  };

  return (
    <form class="form" aria-label="Publish" onSubmit={publish}>
      <Tabs
        label="How many"
        value={shape}
        tabs={[
          { value: 'one', label: 'One message' },
          { value: 'many', label: 'Many rooms' },
        ]}
        onChange={setShape}
      />
      <div class="pair">
        <Field label="Channel">
          {(ids) => (
            <select {...ids} class="input" value={draft.channel} onChange={set('channel')}>
              {channels.map((each, index) => (
                <option key={channelLabel(each)} value={String(index)}>
                  {channelLabel(each)}
                </option>
              ))}
            </select>
          )}
        </Field>
        {shape === 'one' ? (
          <Field label="Room" hint="Who gets it.">
            {(ids) => <input {...ids} class="input" value={draft.room} onInput={set('room')} autocomplete="off" />}
          </Field>
        ) : (
          <>
            <Field label="Rooms">
              {(ids) => (
                <input
                  {...ids}
                  class="input"
                  type="number"
                  min={1}
                  max={25_000}
                  value={draft.rooms}
                  onInput={set('rooms')}
                />
              )}
            </Field>
            <Field label="Messages for each" fault={fault}>
              {(ids) => (
                <input
                  {...ids}
                  class="input"
                  type="number"
                  min={1}
                  max={1_000}
                  value={draft.messages}
                  onInput={set('messages')}
                />
              )}
            </Field>
            <Field label="Names begin with">
              {(ids) => (
                <input {...ids} class="input" value={draft.prefix} onInput={set('prefix')} autocomplete="off" />
              )}
            </Field>
          </>
        )}
      </div>
      {shape === 'one' && (
        <Field label="Text">
          {(ids) => <input {...ids} class="input" value={draft.text} onInput={set('text')} autocomplete="off" />}
        </Field>
      )}
      <div class="row">
        <Button kind="primary" type="submit" icon="sending" disabled={!ready}>
          {progress !== null
            ? `${count(progress)} handed in …`
            : shape === 'one'
              ? 'Publish'
              : `Publish ${counted(total, 'message')}`}
        </Button>
      </div>
      {done !== null && (
        <Notice tone={done.refused > 0 ? 'warn' : 'ok'} live>
          {counted(done.accepted, 'message')} on disk after {duration(done.tookMs)}
          {done.refused > 0 && `; ${counted(done.refused, 'message')} refused: ${done.because}`}. See{' '}
          <Link href={roomHref(done.first)}>{done.first.room}</Link>
        </Notice>
      )}
      {error !== undefined && (
        <Notice tone="bad" title={`${troubleOf(error).title}.`} live>
          {troubleOf(error).detail} {troubleOf(error).action}
        </Notice>
      )}
    </form>
  );
}

type To = Pick<ChannelList['channels'][number], 'channel' | 'tenant'>;

/** The first of each room, then the second of each, as they come from many users at once. */
export function* manyMessages(
  { tenant, channel }: To,
  prefix: string,
  rooms: number,
  each: number,
): Generator<MessageRequest> {
  for (let message = 1; message <= each; message++) {
    for (let number = 1; number <= rooms; number++) {
      const room = roomName(prefix, number, rooms);
      yield { tenant, channel, room, content: { text: `Message ${message} of ${each}` } };
    }
  }
}

function roomName(prefix: string, number: number, rooms: number): string {
  return `${prefix}${String(number).padStart(String(rooms).length, '0')}`;
}

function wholeIn(text: string): number {
  const value = Number(text);
  return Number.isSafeInteger(value) && value > 0 ? value : 0;
}
