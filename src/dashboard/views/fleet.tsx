/** The fleet: who holds which shards, how long their leases are, and what becomes of it when an operator asks for another distribution. */
import { useMemo, useRef, useState } from 'preact/hooks';
import { useSearchParams } from 'wouter-preact';
import { api, ownKey, useResource } from '../api.ts';
import { count, counted, duration, time, words } from '../format.ts';
import { Act } from '../ui/confirm.tsx';
import { Badge, Card, Field, Page, Stat } from '../ui/parts.tsx';
import { Empty, Failure, Loaded, Notice } from '../ui/states.tsx';
import { type Fleet, type Progress, readFleet, type Shard, type Worker } from './fleet-data.ts';
import { ShardMap } from './fleet-map.tsx';
import { coloursOf, movesLine, ownersOf, rangesOf } from './fleet-model.ts';
import { Rebalance } from './fleet-rebalance.tsx';

const IDLE_MS = 2_000;
const MOVING_MS = 500;

export function FleetView() {
  const last = useRef<Fleet>();
  const [everyMs, setEveryMs] = useState<number | null>(IDLE_MS);
  const fleet = useResource(
    async () => {
      const { scopes, tenants } = await ownKey();
      if (tenants !== null || !scopes.includes('operate')) {
        setEveryMs(null);
        return null;
      }
      last.current = await readFleet(api(), last.current);
      setEveryMs(last.current.progress.running ? MOVING_MS : IDLE_MS);
      return last.current;
    },
    [],
    everyMs,
  );
  const refresh = (): void => void fleet.refresh();
  const { data, error } = fleet;
  return (
    <Page
      title="Fleet"
      lead="Rooms hash to shards; each shard has one worker that sends for its rooms."
      actions={data != null && <Rebalance list={data.list} refresh={fleet.refresh} />}
    >
      {data === null ? (
        <Empty title="Your key may not see the fleet">
          It takes a key with the scope operate that is bound to no tenant.
        </Empty>
      ) : data === undefined && error !== undefined ? (
        <Failure error={error} retry={refresh} />
      ) : (
        <Loaded of={fleet} what="Asking who holds what">
          {(picture) => picture !== null && <Picture fleet={picture} onDone={refresh} />}
        </Loaded>
      )}
    </Page>
  );
}

function Picture({
  fleet: { list, progress, shards },
  onDone,
}: {
  readonly fleet: Fleet;
  readonly onDone: () => void;
}) {
  const [query, setQuery] = useSearchParams();
  // What is pointed at changes too fast to be in the address: that has what was chosen.
  const [pointed, setPointed] = useState<number | null>(null);
  const named = Number(query.get('shard') ?? Number.NaN);
  const chosen = pointed ?? (shards[named] === undefined ? null : named);
  const choose = (shard: number | null): void => {
    setPointed(null);
    setQuery(shard === null ? {} : { shard: String(shard) }, { replace: true });
  };
  const { workers, unowned } = list;
  const identity = workers.map(({ worker }) => worker).join();
  const colours = useMemo(() => coloursOf(workers), [identity]);
  const holders = workers.filter(({ shards: held }) => held > 0);
  const sending = workers.filter(({ roles }) => roles.includes('worker'));
  const rooms = workers.reduce((sum, worker) => sum + worker.rooms, 0);
  return (
    <>
      <dl class="stats">
        <Stat label="Processes" value={count(workers.length)} hint={`${count(sending.length)} of them send`} />
        <Stat label="Shards" value={count(shards.length)} hint={`held by ${counted(holders.length, 'worker')}`} />
        <Stat
          label="Without an owner"
          value={count(unowned)}
          tone={unowned > 0 ? 'bad' : 'ok'}
          hint={unowned > 0 ? 'their rooms wait' : 'every room is looked after'}
        />
        <Stat label="Rooms with work" value={count(rooms)} hint="some seconds old" />
      </dl>
      <Moving progress={progress} />
      <div class="fleet">
        <Card title="Shards" hint="One cell each, in the order of their numbers.">
          <ShardMap
            shards={shards}
            colours={colours}
            chosen={chosen}
            label={mapLabel(shards)}
            onPoint={setPointed}
            onChoose={choose}
          />
          <Legend workers={workers} colours={colours} shards={shards} />
        </Card>
        <div class="stack">
          <Card title="Workers" hint="A worker is leased, not its shards." flush>
            <Workers workers={workers} total={shards.length} colours={colours} list={list} onDone={onDone} />
          </Card>
          <Card title="One shard" hint="Point at a cell of the map, or give its number; what is clicked on stays.">
            <Finder shards={shards} chosen={chosen} onChoose={choose} />
          </Card>
          <Pins shards={shards} />
        </div>
      </div>
    </>
  );
}

function mapLabel(shards: readonly Shard[]): string {
  const owners = ownersOf(shards).map(({ name, shards: held }) => `${name}: ${count(held)}`);
  return `${counted(shards.length, 'shard')} by owner. ${owners.join(', ')}`;
}

/** A rebalance or a drain, as it goes on. */
function Moving({ progress }: { readonly progress: Progress }) {
  const { running, planned, moved, promised, passages, changedAt, last } = progress;
  if (!running) {
    return last === null ? null : (
      <p class="muted">
        Last changed by {last.actor} at {time(last.at)}: {words(last.action.replace('.', ' '))}.
      </p>
    );
  }
  const late = passages.some(({ nextDeadlineMs }) => nextDeadlineMs < 0);
  return (
    <div class="moving">
      <Notice
        tone={late ? 'warn' : 'info'}
        icon="sending"
        title={planned ? 'Shards are handed over.' : 'The shards are distributed anew.'}
      >
        {count(promised)} to go, {count(moved)} moved since {time(changedAt)}
        {late && '; one owner is late, and loses its lease'}.
        <progress aria-label="Shards handed over" value={moved} max={Math.max(1, moved + promised)} />
        {passages.map(({ from, to, shards }) => (
          <div key={`${from.worker}/${to.worker}`} class="number">
            {from.name ?? from.worker} → {to.name ?? to.worker}: {count(shards)}
          </div>
        ))}
      </Notice>
    </div>
  );
}

interface LegendProps {
  readonly workers: readonly Worker[];
  readonly colours: ReadonlyMap<string, number>;
  readonly shards: readonly Shard[];
}

function Legend({ workers, colours, shards }: LegendProps) {
  return (
    <div class="legend">
      {workers
        .filter(({ worker }) => colours.has(worker))
        .toSorted((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))
        .map(({ worker, name }) => (
          <span key={worker}>
            <i class="swatch" data-owner={colours.get(worker)} />
            {name}
          </span>
        ))}
      {shards.some(({ owner }) => owner === null) && (
        <span>
          <i class="swatch" />
          nobody
        </span>
      )}
      {shards.some(({ heir }) => heir !== null) && <span>Inside: who gets it next</span>}
      {shards.some(({ pin }) => pin !== null) && <span>Marked corner: pinned</span>}
    </div>
  );
}

interface FinderProps {
  readonly shards: readonly Shard[];
  readonly chosen: number | null;
  readonly onChoose: (shard: number | null) => void;
}

/** The same as pointing at a cell, by keyboard and in words. */
function Finder({ shards, chosen, onChoose }: FinderProps) {
  const shard = chosen === null ? undefined : shards[chosen];
  return (
    <div class="shard-find">
      <Field label="Shard">
        {(ids) => (
          <input
            {...ids}
            class="input"
            type="number"
            min={0}
            max={shards.length - 1}
            placeholder="0"
            value={chosen ?? ''}
            onInput={({ currentTarget: { value } }) => onChoose(value === '' ? null : Number(value))}
          />
        )}
      </Field>
      <p aria-live="polite">{shard === undefined ? 'None is chosen.' : shardLine(shard)}</p>
    </div>
  );
}

function shardLine({ shard, owner, heir, pin, epoch, movedAt, rooms, waiting }: Shard): string {
  const whose = owner === null ? 'is nobody’s' : `is ${owner.name ?? owner.worker}'s since ${time(movedAt)}`;
  const next = heir === null ? '' : `, goes to ${heir.name ?? heir.worker}`;
  const pinned = pin === null ? '' : `, pinned to ${pin}`;
  return `Shard ${shard} ${whose}${next}${pinned}; epoch ${epoch}, ${counted(rooms, 'room')} with ${counted(waiting, 'message')}.`;
}

interface WorkersProps extends Omit<LegendProps, 'shards'> {
  readonly total: number;
  readonly list: Fleet['list'];
  readonly onDone: () => void;
}

function Workers({ workers, total, colours, list, onDone }: WorkersProps) {
  const weights = workers.reduce((sum, { weight, draining }) => sum + (draining ? 0 : weight), 0);
  const longest = Math.max(1, ...workers.map(({ leaseLeftMs }) => leaseLeftMs));
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls sideways must be reached by keyboard
    <section class="table-frame" tabIndex={0} aria-label="Workers, with weight, load and lease">
      <table class="table workers" aria-label="Workers">
        <thead>
          <tr>
            <th scope="col">Worker</th>
            <th scope="col" class="end">
              Shards
            </th>
            <th scope="col" class="end wide-only">
              Work
            </th>
            <th scope="col" class="end wide-only">
              Weight
            </th>
            <th scope="col" class="wide-only">
              Lease
            </th>
            <th scope="col">
              <span class="hidden">Acts</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {workers
            .toSorted(
              (a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }) || a.registeredAt - b.registeredAt,
            )
            .map((each) => (
              <tr key={each.worker}>
                <th scope="row">
                  <WorkerName worker={each} colour={colours.get(each.worker)} />
                  <div class="more narrow-only">
                    <span>
                      {counted(each.rooms, 'room')}, {counted(each.waiting, 'message')}
                    </span>
                    {each.roles.includes('worker') && (
                      <span>
                        weight {each.weight}
                        {each.operatorWeight !== null && ' set'}
                      </span>
                    )}
                    <span>lease {leaseText(each.leaseLeftMs)}</span>
                  </div>
                </th>
                <td class="end">
                  <span title="Shards">{count(each.shards)}</span>
                  <Bar share={each.shards / Math.max(1, total)} owner={colours.get(each.worker)} />
                </td>
                <td class="end wide-only">
                  {counted(each.rooms, 'room')}
                  <div class="muted small">{counted(each.waiting, 'message')}</div>
                </td>
                <td
                  class="end wide-only"
                  title={`A share of ${Math.round((100 * each.weight) / Math.max(1e-9, weights))} %`}
                >
                  {each.roles.includes('worker') ? each.weight : '–'}
                  {each.operatorWeight !== null && <span class="muted"> set</span>}
                </td>
                <td class="wide-only">
                  <Lease leftMs={each.leaseLeftMs} longestMs={longest} />
                </td>
                <td class="end">
                  {each.roles.includes('worker') && <Drain worker={each} list={list} onDone={onDone} />}
                </td>
              </tr>
            ))}
        </tbody>
      </table>
    </section>
  );
}

function WorkerName({ worker: each, colour }: { readonly worker: Worker; readonly colour: number | undefined }) {
  const { name, worker, roles, draining, leaving, promised, leaseLeftMs } = each;
  return (
    <>
      {colour !== undefined && <i class="swatch" data-owner={colour} />}
      <strong>{name}</strong>
      <div class="more">
        {draining && <Badge tone="warn">draining</Badge>}
        {leaseLeftMs <= 0 && <Badge tone="bad">lease ended</Badge>}
        {leaving > 0 && <Badge tone="info">{count(leaving)} leave</Badge>}
        {promised > 0 && <Badge tone="info">{count(promised)} come</Badge>}
        <span>{roles.length === 4 ? 'all roles' : roles.join(', ')}</span>
        <code title={`Its id: ${worker}`}>{worker.slice(0, 8)}</code>
      </div>
    </>
  );
}

interface BarProps {
  readonly share: number;
  readonly tone?: string;
  readonly owner?: number | undefined;
}

function Bar({ share, tone, owner }: BarProps) {
  return (
    <div class="meter" aria-hidden="true" data-tone={tone} data-owner={owner}>
      <i style={{ width: `${Math.min(100, Math.max(0, 100 * share))}%` }} />
    </div>
  );
}

function leaseText(leftMs: number): string {
  return leftMs <= 0 ? 'ended' : duration(Math.round(leftMs / 100) * 100);
}

function Lease({ leftMs, longestMs }: { readonly leftMs: number; readonly longestMs: number }) {
  return (
    <>
      <span class="number">{leaseText(leftMs)}</span>
      <Bar share={leftMs / longestMs} tone={leftMs <= 0 ? 'bad' : 'ok'} />
    </>
  );
}

interface DrainProps {
  readonly worker: Worker;
  readonly list: Fleet['list'];
  readonly onDone: () => void;
}

function Drain({ worker: { worker, name, draining, shards }, list, onDone }: DrainProps) {
  const { operations } = api();
  if (draining) {
    return (
      <Act
        label="Take it back"
        title={`Take the drain of ${name} back`}
        small
        preview={async () => <p>{name} takes part again, and gets its share of the shards.</p>}
        run={async () => {
          await operations.undrain(worker);
          return <>{name} is not drained any more; shards come to it now.</>;
        }}
        onDone={onDone}
      >
        <span>
          Undo<span class="hidden"> the drain of {name}</span>…
        </span>
      </Act>
    );
  }
  const namesakes = list.workers.filter((each) => each.name === name).length > 1;
  return (
    <Act
      label="Drain"
      title={`Drain ${name}`}
      small
      preview={async () => {
        // A weight of 0 leads to the same distribution; where others have the name, it would be theirs, too.
        const plan = namesakes
          ? null
          : await operations.rebalance({ dryRun: true, weights: { [name]: 0 }, ifMembership: list.membership });
        return (
          <div class="stack">
            <p>
              It gives all its shards to the others, each as soon as its open sends are answered and stored, and goes on
              with everything else. Nothing is lost, no room is sent for twice.
            </p>
            <p>{plan === null ? `${counted(shards, 'shard')} move.` : movesLine(plan)}</p>
          </div>
        );
      }}
      run={async () => {
        await operations.drain(worker);
        return <>{name} gives its shards away now: watch them on the map.</>;
      }}
      onDone={onDone}
    >
      <span>
        Drain<span class="hidden"> {name}</span>…
      </span>
    </Act>
  );
}

/** Shards that an operator has bound to a node. */
function Pins({ shards }: { readonly shards: readonly Shard[] }) {
  const byName = new Map<string, number[]>();
  for (const { shard, pin } of shards) if (pin !== null) byName.set(pin, [...(byName.get(pin) ?? []), shard]);
  if (byName.size === 0) return null;
  return (
    <Card title="Pinned shards" hint="They stay with the node of a name, whatever the loads are.">
      <dl class="facts">
        {[...byName].map(([name, pinned]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{rangesOf(pinned)}</dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}
