/** Failures grouped by what they have in common, and their dead letters replayed as a whole. */
import { Link } from 'wouter-preact';
import type { RoomlineClient } from '../../client/client.ts';
import { api, useResource } from '../api.ts';
import { count, words } from '../format.ts';
import { Ago, Badge, Card, type Tone } from '../ui/parts.tsx';
import { Empty, Loaded } from '../ui/states.tsx';
import { Table } from '../ui/table.tsx';
import { channelLabel } from './room-links.ts';
import { ReplayAct } from './trouble-acts.tsx';

const LOOK_EVERY_MS = 3_000;
type Failure = Awaited<ReturnType<RoomlineClient['failures']>>['failures'][number];

const TONES: Readonly<Record<Failure['kind'], Tone>> = {
  refused: 'bad',
  unknown: 'unsure',
  interrupted: 'unsure',
  intake: 'warn',
};

export function Failures() {
  const failures = useResource(() => api().failures({ limit: 100 }), [], LOOK_EVERY_MS);
  return (
    <Card title="Failures" hint="Grouped by channel, kind, code and the platform's words; the last seen first." flush>
      <Loaded of={failures} what="Asking what failed">
        {({ failures: groups, asOf }) =>
          groups.length === 0 ? (
            <Empty title="Nothing has failed" icon="check">
              Attempts that platforms refuse, or do not answer, are counted here.
            </Empty>
          ) : (
            <Table
              caption="Failures"
              rows={groups}
              rowKey={({ fingerprint }) => fingerprint}
              columns={[
                { key: 'code', title: 'Code', cell: (group) => <Code {...group} /> },
                { key: 'kind', title: 'Kind', cell: ({ kind }) => <Badge tone={TONES[kind]}>{words(kind)}</Badge> },
                { key: 'channel', title: 'Channel', cell: placeOf },
                { key: 'count', title: 'Attempts', end: true, cell: (group) => count(group.count) },
                { key: 'dead', title: 'For good', end: true, cell: (group) => count(group.deadLetters) },
                {
                  key: 'last',
                  title: 'Last seen',
                  end: true,
                  cell: ({ lastSeen }) => <Ago at={lastSeen} now={asOf} />,
                },
                {
                  key: 'act',
                  title: <span class="hidden">Acts</span>,
                  end: true,
                  cell: (group) => <Replay group={group} onDone={() => void failures.refresh()} />,
                },
              ]}
            />
          )
        }
      </Loaded>
    </Card>
  );
}

function Code({ code, fingerprint, deadLetters }: Failure) {
  const shown = <code>{code}</code>;
  return (
    <>
      {deadLetters === 0 ? shown : <Link href={`/trouble?${new URLSearchParams({ fingerprint })}`}>{shown}</Link>}
      <div class="muted small" title={`Fingerprint ${fingerprint}`}>
        {fingerprint.slice(0, 8)}
      </div>
    </>
  );
}

function Replay({ group, onDone }: { readonly group: Failure; readonly onDone: () => void }) {
  const { kind, code, fingerprint } = group;
  if (group.deadLetters === 0) return null;
  const of =
    kind === 'intake'
      ? `All open payloads that intake refused as ${code}.`
      : `All open dead letters of this group: ${words(kind)}, code ${code}, channel ${placeOf(group)}, in the same words.`;
  return (
    <ReplayAct small selection={{ filter: { fingerprint } }} of={of} onDone={onDone}>
      Replay all…
    </ReplayAct>
  );
}

function placeOf({ tenant, channel }: Failure): string {
  return tenant === null || channel === null ? 'intake' : channelLabel({ tenant, channel });
}
