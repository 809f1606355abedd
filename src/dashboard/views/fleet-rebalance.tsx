/** Weights, pins and moves: tried dry first, then done if the fleet is still the one that was looked at. */
import { useState } from 'preact/hooks';
import type { RebalanceRequest } from '../../client/client.ts';
import type { RebalancedView } from '../../http/fleet-schemas.ts';
import { api, troubleOf } from '../api.ts';
import { count } from '../format.ts';
import { Modal } from '../ui/modal.tsx';
import { Button, Field } from '../ui/parts.tsx';
import { Notice } from '../ui/states.tsx';
import { Table } from '../ui/table.tsx';
import type { WorkerList } from './fleet-data.ts';
import { movesLine, rangeIn } from './fleet-model.ts';

export interface RebalanceProps {
  readonly list: WorkerList;
  /** Asks for the list anew; resolves when it is here. */
  readonly refresh: () => Promise<void>;
}

export function Rebalance({ list, refresh }: RebalanceProps) {
  const [isOpen, setIsOpen] = useState(false);
  // Wishes are refused where the fleet is not the one that was looked at: so it is looked at now.
  const open = async (): Promise<void> => {
    await refresh();
    setIsOpen(true);
  };
  return (
    <>
      <Button kind="primary" icon="fleet" onClick={() => void open()}>
        Rebalance…
      </Button>
      {isOpen && <Wishes list={list} onClose={() => setIsOpen(false)} onDone={() => void refresh()} />}
    </>
  );
}

type What = 'none' | 'pin' | 'unpin' | 'move';

interface Draft {
  /** By the names of nodes, as typed; empty for the node's own. */
  readonly weights: Readonly<Record<string, string>>;
  readonly what: What;
  readonly shards: string;
  readonly node: string;
}

interface Plan {
  readonly wishes: RebalanceRequest;
  readonly preview: RebalancedView;
}

interface WishesProps {
  readonly list: WorkerList;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

function Wishes({ list, onClose, onDone }: WishesProps) {
  // The fleet that was looked at: what changes meanwhile is refused, not overwritten.
  const [seen] = useState(list);
  const names = [
    ...new Set(seen.workers.filter(({ roles }) => roles.includes('worker')).map(({ name }) => name)),
  ].sort();
  const [draft, setDraft] = useState<Draft>(() => ({
    weights: Object.fromEntries(seen.weights.map(({ name, weight }) => [name, String(weight)])),
    what: 'none',
    shards: '',
    node: names[0] ?? '',
  }));
  const [plan, setPlan] = useState<Plan | null>(null);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  /** It is done, and nothing is seen of it on the map. */
  const [isOver, setIsOver] = useState(false);
  const wishes = wishesIn(draft, seen);
  const change = (part: Partial<Draft>): void => {
    setDraft({ ...draft, ...part });
    setPlan(null);
    setError(undefined);
  };
  const ask = async (dryRun: boolean): Promise<void> => {
    if (wishes === null) return;
    setBusy(true);
    setError(undefined);
    try {
      const preview = await api().operations.rebalance({ ...wishes, dryRun });
      if (dryRun) setPlan({ wishes, preview });
      else {
        onDone();
        if (preview.moved > 0) onClose();
        else setIsOver(true);
      }
    } catch (refused) {
      setPlan(null);
      setError(refused);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal
      title="Rebalance"
      wide
      closeLabel={isOver ? 'Close' : 'Leave it'}
      onClose={onClose}
      actions={
        !isOver && (
          <>
            <Button disabled={wishes === null || busy} onClick={() => void ask(true)}>
              Try it dry
            </Button>
            <Button kind="primary" disabled={plan === null || busy} onClick={() => void ask(false)}>
              Rebalance
            </Button>
          </>
        )
      }
    >
      {!isOver && (
        <>
          <p class="muted">
            A worker's part of the shards is its weight against the sum of all. With nothing changed, the shards are
            distributed anew, and only what is outside the band moves.
          </p>
          <div class="wishes">
            {[...new Set([...names, ...seen.weights.map(({ name }) => name)])].map((name) => (
              <Weight
                key={name}
                name={name}
                own={seen.workers.find((each) => each.name === name)?.ownWeight}
                value={draft.weights[name] ?? ''}
                onInput={(value) => change({ weights: { ...draft.weights, [name]: value } })}
              />
            ))}
            <div class="wish-line">
              <Field label="And">
                {(ids) => (
                  <select
                    {...ids}
                    class="input"
                    value={draft.what}
                    onChange={({ currentTarget }) => change({ what: currentTarget.value as What })}
                  >
                    <option value="none">nothing more</option>
                    <option value="pin">pin</option>
                    <option value="unpin">unpin</option>
                    <option value="move">move</option>
                  </select>
                )}
              </Field>
              {draft.what !== 'none' && (
                <Field label="Shards" fault={wishes === null && draft.shards !== '' ? 'Such as 7, or 100-199.' : null}>
                  {(ids) => (
                    <input
                      {...ids}
                      class="input"
                      placeholder="100-199"
                      value={draft.shards}
                      onInput={({ currentTarget }) => change({ shards: currentTarget.value })}
                    />
                  )}
                </Field>
              )}
              {(draft.what === 'pin' || draft.what === 'move') && (
                <Field label="To">
                  {(ids) => (
                    <select
                      {...ids}
                      class="input"
                      value={draft.node}
                      onChange={({ currentTarget }) => change({ node: currentTarget.value })}
                    >
                      {names.map((name) => (
                        <option key={name} value={name}>
                          {name}
                        </option>
                      ))}
                    </select>
                  )}
                </Field>
              )}
            </div>
          </div>
        </>
      )}
      <div aria-live="polite" class="stack">
        {error !== undefined && <Refused error={error} />}
        {isOver && (
          <Notice tone="ok" title="Done." live>
            Nothing moves.
          </Notice>
        )}
        {plan !== null && !isOver && <Preview {...plan.preview} />}
      </div>
    </Modal>
  );
}

interface WeightProps {
  readonly name: string;
  /** What the process says itself; none where no process has the name. */
  readonly own: number | undefined;
  readonly value: string;
  readonly onInput: (value: string) => void;
}

function Weight({ name, own, value, onInput }: WeightProps) {
  return (
    <div class="wish">
      <div>
        <strong>{name}</strong>
        <span class="muted"> {own === undefined ? 'no process has this name' : `its own weight: ${own}`}</span>
      </div>
      <input
        class="input number"
        type="number"
        min={0}
        max={1_000}
        step="any"
        aria-label={`Weight of ${name}`}
        placeholder={own === undefined ? 'none' : String(own)}
        value={value}
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
      />
    </div>
  );
}

/** Only what is another than it was; null where something cannot be read. */
function wishesIn(
  { weights, what, shards, node }: Draft,
  { membership, weights: given }: WorkerList,
): RebalanceRequest | null {
  const before = new Map(given.map(({ name, weight }) => [name, weight]));
  const changed = Object.entries(weights).flatMap(([name, text]): [string, number | null][] => {
    const wanted = text === '' ? null : Number(text);
    return wanted === (before.get(name) ?? null) ? [] : [[name, wanted]];
  });
  if (changed.some(([, weight]) => Number.isNaN(weight))) return null;
  const range = what === 'none' ? undefined : rangeIn(shards);
  if (range === null) return null;
  return {
    ifMembership: membership,
    ...(changed.length === 0 ? {} : { weights: Object.fromEntries(changed) }),
    ...(range === undefined || what === 'move' ? {} : { pins: [{ ...range, name: what === 'pin' ? node : null }] }),
    ...(range === undefined || what !== 'move' ? {} : { moves: [{ ...range, worker: node }] }),
  };
}

function Preview(preview: RebalancedView) {
  const { workers, warnings } = preview;
  return (
    <>
      <p>
        <strong>{movesLine(preview)}</strong> Nothing is done yet.
      </p>
      <Table
        caption="Shards before and after"
        rows={workers}
        rowKey={({ worker }) => worker}
        columns={[
          { key: 'name', title: 'Worker', cell: ({ name }) => name },
          { key: 'before', title: 'Now', end: true, cell: ({ before }) => count(before) },
          { key: 'after', title: 'Then', end: true, cell: ({ after }) => <strong>{count(after)}</strong> },
        ]}
      />
      {warnings.map(({ path, code, rule, action }) => (
        <Notice key={`${path}/${code}`} tone="warn" title={`${rule}.`}>
          {action}
        </Notice>
      ))}
    </>
  );
}

function Refused({ error }: { readonly error: unknown }) {
  const { title, detail, action, code } = troubleOf(error);
  return (
    <div role="alert">
      <Notice tone="bad" title={`${title}.`}>
        {detail} {action} {code !== null && <code>{code}</code>}
      </Notice>
    </div>
  );
}
