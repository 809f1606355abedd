/** Dead letters: found, looked into, replayed and discarded; the filter is in the address, so that it can be handed on. */
import { useEffect, useState } from 'preact/hooks';
import { Link, useSearchParams } from 'wouter-preact';
import type { ChannelList, RoomlineClient } from '../../client/client.ts';
import { api, useResource } from '../api.ts';
import { count, words } from '../format.ts';
import { isNarrow } from '../theme.ts';
import { Badge, Button, Card, Field, Time, type Tone } from '../ui/parts.tsx';
import { Empty, Loaded } from '../ui/states.tsx';
import { Table } from '../ui/table.tsx';
import { type ChannelPlace, channelLabel, DEFAULT_TENANT } from './room-links.ts';
import { DiscardAct, ReplayAct, type Selection } from './trouble-acts.tsx';
import { LetterDetail } from './trouble-letter.tsx';

type LetterList = Awaited<ReturnType<RoomlineClient['deadLetters']['list']>>;
export type Letter = LetterList['letters'][number];

const LOOK_EVERY_MS = 5_000;
const PAGE = 50;
const STATES = ['open', 'replayed', 'discarded'] as const;
const KINDS = ['message', 'intake'] as const;
/** Of the filter, in the address. */
const TEXTS = ['channel', 'room', 'reason', 'code', 'fingerprint', 'tenant'] as const;

export const STATE_TONES: Readonly<Record<Letter['state'], Tone>> = {
  open: 'warn',
  replayed: 'ok',
  discarded: 'calm',
};

interface Filter {
  readonly tenant?: string;
  readonly channel?: string;
  readonly room?: string;
  readonly reason?: string;
  readonly code?: string;
  /** Of a group of failures. */
  readonly fingerprint?: string;
  readonly kind?: (typeof KINDS)[number];
  /** Open ones unless it is said otherwise; `any`: all. */
  readonly state: (typeof STATES)[number] | 'any';
}

function filterIn(query: URLSearchParams): Filter {
  const texts = TEXTS.flatMap((name) => {
    const value = query.get(name)?.trim() ?? '';
    return value === '' ? [] : [[name, value] as const];
  });
  const kind = KINDS.find((each) => each === query.get('kind'));
  const state = query.get('state');
  return {
    ...Object.fromEntries(texts),
    ...(kind === undefined ? {} : { kind }),
    state: state === 'any' ? 'any' : (STATES.find((each) => each === state) ?? 'open'),
  };
}

/** Other than what one sees without a filter. */
function isAsked({ state, ...rest }: Filter): boolean {
  return state !== 'open' || Object.keys(rest).length > 0;
}

function withLetter(query: URLSearchParams, id: number): string {
  const next = new URLSearchParams(query);
  next.set('letter', String(id));
  return next.toString();
}

/** Of the whole selection that a filter names: those that are open. */
function selectionOf({ state: _state, ...filter }: Filter): Selection {
  return { filter };
}

export function Letters({ channels }: { readonly channels: ChannelList['channels'] }) {
  const [query, setQuery] = useSearchParams();
  const filter = filterIn(query);
  const { state, ...rest } = filter;
  const key = JSON.stringify(filter);
  const [cursors, setCursors] = useState<readonly string[]>([]);
  const [selected, setSelected] = useState<ReadonlySet<number>>(new Set());
  const cursor = cursors.at(-1);
  const page = useResource(
    () =>
      api().deadLetters.list({
        ...rest,
        limit: PAGE,
        ...(state === 'any' ? {} : { state }),
        ...(cursor === undefined ? {} : { cursor }),
      }),
    [key, cursor],
    LOOK_EVERY_MS,
  );
  useEffect(() => {
    setCursors([]);
    setSelected(new Set());
  }, [key]);

  const letters = page.data?.letters ?? [];
  const chosen = letters.filter(({ id }) => selected.has(id)).map(({ id }) => id);
  // No others can be replayed; what is looked at may be on a later page.
  const hasOpen = state === 'open' || state === 'any';
  const letter = Number(query.get('letter') ?? Number.NaN);
  const change = (changes: Readonly<Record<string, string | null>>) =>
    setQuery((before) => {
      const next = new URLSearchParams(before);
      for (const [name, value] of Object.entries(changes)) {
        if (value === null || value === '') next.delete(name);
        else next.set(name, value);
      }
      return next;
    });
  const done = (): void => {
    setSelected(new Set());
    void page.refresh();
  };

  return (
    <Card
      title="Dead letters"
      hint="Messages that failed for good, and payloads that intake refused."
      flush
      actions={
        <>
          <DiscardAct small selection={{ ids: chosen }} disabled={chosen.length === 0} onDone={done}>
            {chosen.length === 0 ? 'Discard…' : `Discard ${count(chosen.length)}…`}
          </DiscardAct>
          <ReplayAct
            small
            kind="primary"
            selection={chosen.length === 0 ? selectionOf(filter) : { ids: chosen }}
            disabled={chosen.length === 0 && !(hasOpen && letters.length > 0)}
            onDone={done}
          >
            {chosen.length === 0 ? 'Replay all open that match…' : `Replay ${count(chosen.length)}…`}
          </ReplayAct>
        </>
      }
    >
      {isNarrow.value ? (
        <details class="filter-fold">
          <summary>Filter{isAsked(filter) ? ', in use' : ''}</summary>
          <LetterFilter key={key} filter={filter} channels={channels} onChange={change} />
        </details>
      ) : (
        <LetterFilter key={key} filter={filter} channels={channels} onChange={change} />
      )}
      <Loaded of={page} what="Asking for dead letters">
        {() =>
          letters.length === 0 ? (
            <Empty title={page.data?.cursor == null ? 'No dead letters' : 'None among the newest'} icon="check">
              {emptyLine(state, page.data?.cursor != null)}
            </Empty>
          ) : (
            <Table
              caption="Dead letters"
              rows={letters}
              rowKey={({ id }) => id}
              isSelected={({ id }) => selected.has(id)}
              columns={[
                {
                  key: 'select',
                  title: (
                    <SelectAll
                      all={chosen.length === letters.length}
                      onChange={(all) => setSelected(new Set(all ? letters.map(({ id }) => id) : []))}
                    />
                  ),
                  cell: ({ id }) => (
                    <input
                      type="checkbox"
                      class="check"
                      aria-label={`Select #${id}`}
                      checked={selected.has(id)}
                      onChange={({ currentTarget }) => {
                        const next = new Set(selected);
                        if (currentTarget.checked) next.add(id);
                        else next.delete(id);
                        setSelected(next);
                      }}
                    />
                  ),
                },
                {
                  key: 'id',
                  title: 'Letter',
                  cell: ({ id }) => (
                    <Link href={`?${withLetter(query, id)}`} class="number">
                      #{id}
                    </Link>
                  ),
                },
                { key: 'room', title: 'Room', cell: (each) => <Where {...each} /> },
                { key: 'reason', title: 'Reason', cell: (each) => <Why {...each} /> },
                { key: 'at', title: 'When', cell: ({ at }) => <Time at={at} /> },
                {
                  key: 'state',
                  title: 'State',
                  cell: (each) => <Badge tone={STATE_TONES[each.state]}>{each.state}</Badge>,
                },
              ]}
            />
          )
        }
      </Loaded>
      {(cursors.length > 0 || page.data?.cursor != null) && (
        <div class="pager">
          <Button small icon="back" disabled={cursors.length === 0} onClick={() => setCursors(cursors.slice(0, -1))}>
            Newer
          </Button>
          <Button
            small
            disabled={page.data?.cursor == null}
            onClick={() => page.data?.cursor != null && setCursors([...cursors, page.data.cursor])}
          >
            Older
          </Button>
        </div>
      )}
      {Number.isSafeInteger(letter) && letter > 0 && (
        <LetterDetail id={letter} onClose={() => change({ letter: null })} onDone={done} />
      )}
    </Card>
  );
}

function SelectAll({ all, onChange }: { readonly all: boolean; readonly onChange: (all: boolean) => void }) {
  return (
    <input
      type="checkbox"
      class="check"
      aria-label="Select all on this page"
      checked={all}
      onChange={({ currentTarget }) => onChange(currentTarget.checked)}
    />
  );
}

function emptyLine(state: Filter['state'], hasOlder: boolean): string {
  if (hasOlder) return 'A page looks at so many letters only: older ones may match.';
  return state === 'open' ? 'Nothing that matches waits for a decision.' : 'Nothing matches.';
}

function Where({ tenant, channel, room }: Letter) {
  if (tenant === null || channel === null) return <span class="muted">refused at intake</span>;
  return (
    <>
      <strong>{room}</strong>
      <div class="muted small">{channelLabel({ tenant, channel })}</div>
    </>
  );
}

function Why({ reason, code, detail }: Letter) {
  return (
    <>
      {words(reason)}
      {code !== null && (
        <div class="small">
          <code>{code}</code>
        </div>
      )}
      {detail !== null && <div class="muted small clip">{detail}</div>}
    </>
  );
}

interface LetterFilterProps {
  readonly filter: Filter;
  readonly channels: ChannelList['channels'];
  readonly onChange: (changes: Readonly<Record<string, string | null>>) => void;
}

function LetterFilter({ filter, channels, onChange }: LetterFilterProps) {
  const { tenant = DEFAULT_TENANT, channel: named } = filter;
  const chosen = named === undefined ? null : { tenant, channel: named };
  const isChosen = (one: ChannelPlace): boolean => one.tenant === chosen?.tenant && one.channel === chosen.channel;
  // One that is configured no more may have letters.
  const offered: readonly ChannelPlace[] =
    chosen === null || channels.some(isChosen) ? channels : [...channels, chosen];
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const values = new FormData(event.currentTarget as HTMLFormElement);
    const of = (name: string) => String(values.get(name) ?? '').trim();
    const place = of('channel') === '' ? null : (JSON.parse(of('channel')) as [string, string]);
    onChange({
      tenant: place === null || place[0] === DEFAULT_TENANT ? null : place[0],
      channel: place === null ? null : place[1],
      // A room is one of a channel.
      room: place === null ? null : of('room'),
      reason: of('reason'),
      code: of('code'),
      fingerprint: of('fingerprint'),
      kind: of('kind'),
      state: of('state'),
      letter: null,
    });
  };
  return (
    <form class="filter" aria-label="Filter dead letters" onSubmit={submit}>
      <Field label="State">
        {(ids) => (
          <select {...ids} class="input" name="state">
            {[...STATES, 'any'].map((each) => (
              <option key={each} value={each} selected={each === filter.state}>
                {each}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label="Channel">
        {(ids) => (
          <select {...ids} class="input" name="channel">
            <option value="">any</option>
            {offered.map((each) => {
              const value = JSON.stringify([each.tenant, each.channel]);
              return (
                <option key={value} value={value} selected={isChosen(each)}>
                  {channelLabel(each)}
                </option>
              );
            })}
          </select>
        )}
      </Field>
      <Field label="Kind">
        {(ids) => (
          <select {...ids} class="input" name="kind">
            <option value="">any</option>
            {KINDS.map((each) => (
              <option key={each} value={each} selected={each === filter.kind}>
                {each}
              </option>
            ))}
          </select>
        )}
      </Field>
      {(['room', 'reason', 'code', 'fingerprint'] as const).map((name) => (
        <Field key={name} label={name[0]?.toUpperCase() + name.slice(1)}>
          {(ids) => (
            <input
              {...ids}
              class="input"
              name={name}
              defaultValue={filter[name] ?? ''}
              autocomplete="off"
              spellcheck={false}
            />
          )}
        </Field>
      ))}
      <Button type="submit" icon="filter">
        Filter
      </Button>
    </form>
  );
}
