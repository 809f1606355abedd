/** Dead letters replayed and discarded: what would happen is asked first, then it is done. */
import type { ComponentChildren } from 'preact';
import type { Discard, LetterSelection, Replay } from '../../client/client.ts';
import { api } from '../api.ts';
import { count, counted, words } from '../format.ts';
import { Act } from '../ui/confirm.tsx';
import { Notice } from '../ui/states.tsx';

export type Selection = Pick<LetterSelection, 'ids' | 'filter'>;

/** What one call takes at the most. */
const MOST = 1_000;
/** A selection by a filter is gone through call by call; nobody means more than this by one click. */
const MAX_CALLS = 50;

export interface LettersActProps {
  readonly selection: Selection;
  /** What is selected, in words, where the button does not say it. */
  readonly of?: string;
  readonly small?: boolean;
  readonly kind?: 'plain' | 'primary' | 'ghost';
  readonly disabled?: boolean;
  readonly onDone: () => void;
  readonly children: ComponentChildren;
}

export function ReplayAct({ selection, of, ...rest }: LettersActProps) {
  const wishes = limited(selection);
  return (
    <Act
      {...rest}
      label="Replay"
      title="Replay dead letters"
      icon="retry"
      asksReason
      preview={async () => {
        const replay = await api().deadLetters.replayMany({ ...wishes, dryRun: true });
        return (
          <div class="stack">
            {of !== undefined && <p>{of}</p>}
            <WouldReplay {...replay} />
          </div>
        );
      }}
      run={async (reason) => (
        <Replayed {...(await replayAll({ ...wishes, ...(reason === undefined ? {} : { reason }) }))} />
      )}
    />
  );
}

export function DiscardAct({ selection, ...rest }: LettersActProps) {
  const wishes = limited(selection);
  return (
    <Act
      {...rest}
      label="Discard"
      title="Discard dead letters"
      icon="cross"
      confirmKind="danger"
      asksReason
      preview={async () => <WouldDiscard {...(await api().deadLetters.discardMany({ ...wishes, dryRun: true }))} />}
      run={async (reason) => {
        const done = await api().deadLetters.discardMany({ ...wishes, ...(reason === undefined ? {} : { reason }) });
        return (
          <>
            {counted(done.discarded.length, 'dead letter')} discarded. <Refused of={done.refused} />
          </>
        );
      }}
    />
  );
}

function limited({ ids, filter }: Selection): LetterSelection {
  return ids === undefined ? { filter: filter ?? {}, limit: MOST } : { ids };
}

/** Call after call, until nothing of the selection is left that can be replayed. */
async function replayAll(wishes: LetterSelection): Promise<Outcome> {
  const total = { replayed: 0, refused: [] as Refusals, more: false };
  for (let call = 0; call < MAX_CALLS; call++) {
    const { replayed, letters, more } = await api().deadLetters.replayMany(wishes);
    total.replayed += replayed;
    total.refused = refusalsOf(letters);
    total.more = more;
    if (!more || replayed === 0) break;
  }
  return total;
}

type Refusals = readonly {
  readonly letter: number;
  readonly error: { readonly code: string; readonly detail: string };
}[];

interface Outcome {
  readonly replayed: number;
  readonly refused: Refusals;
  readonly more: boolean;
}

function refusalsOf(letters: Replay['letters']): Refusals {
  return letters.flatMap(({ letter, error }) => (error === undefined ? [] : [{ letter, error }]));
}

function WouldReplay({ letters, more }: Replay) {
  const ready = letters.filter(({ result }) => result === 'replayable');
  const rooms = new Set(ready.map(({ tenant, channel, room }) => JSON.stringify([tenant, channel, room])));
  const already = letters.filter(({ result }) => result === 'already').length;
  const doubtful = ready.filter(({ possiblyDelivered }) => possiblyDelivered).length;
  const refused = refusalsOf(letters);
  if (ready.length === 0) {
    return (
      <Notice tone="calm" title="Nothing to replay.">
        {already > 0 && `${counted(already, 'dead letter')} replayed before.`} <Refused of={refused} />
      </Notice>
    );
  }
  const one = ready.length === 1;
  return (
    <div class="stack">
      <p>
        <strong>
          {counted(ready.length, 'message')} {one ? 'is' : 'are'} appended to {counted(rooms.size, 'room')}
          {more ? ', and more' : ''}
        </strong>
        , behind what waits there, in the old order.{' '}
        {more && `These are the first ${count(MOST)}; the others follow in the same way. `}
        The channel's own settings apply to {one ? 'it' : 'them'}.
      </p>
      {doubtful > 0 && (
        <Notice tone="warn" title={`${counted(doubtful, 'message')} may have been delivered.`}>
          The platform may have taken {doubtful === 1 ? 'it' : 'them'} without saying so: a copy may be seen twice.
        </Notice>
      )}
      {already > 0 && <p class="muted">{counted(already, 'dead letter')} replayed before: left alone.</p>}
      <Refused of={refused} />
    </div>
  );
}

function Replayed({ replayed, refused, more }: Outcome) {
  return (
    <>
      {counted(replayed, 'message')} appended anew. <Refused of={refused} />
      {more && replayed > 0 && ' Others are left: replay again.'}
    </>
  );
}

function WouldDiscard({ discarded, refused, more }: Discard) {
  return (
    <div class="stack">
      <p>
        <strong>
          {counted(discarded.length, 'dead letter')} {discarded.length === 1 ? 'is' : 'are'} closed
        </strong>{' '}
        without anything being sent. {more && `These are the first ${count(MOST)}: discard again for the rest. `}
        What was discarded cannot be replayed any more; it stays listed.
      </p>
      <Refused of={refused} />
    </div>
  );
}

/** What cannot be done, by the reason. */
function Refused({ of }: { readonly of: Refusals }) {
  if (of.length === 0) return null;
  const codes = new Map<string, number>();
  for (const { error } of of) codes.set(error.code, (codes.get(error.code) ?? 0) + 1);
  return (
    <span>
      {counted(of.length, 'dead letter')} {of.length === 1 ? 'is' : 'are'} left:{' '}
      {[...codes].map(([code, times]) => `${words(code)}${times > 1 ? ` (${times})` : ''}`).join(', ')}.
    </span>
  );
}
