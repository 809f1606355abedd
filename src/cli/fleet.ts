/** `roomline workers`, `shards`, `drain` and `rebalance`: the fleet, by the API of any of its processes. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Command, InvalidArgumentError } from 'commander';
import type { Static } from 'typebox';
import type { RebalanceRequest } from '../client/client.ts';
import type {
  drainSchema,
  progressSchema,
  RebalancedView,
  shardListSchema,
  workerListSchema,
} from '../http/fleet-schemas.ts';
import { type ApiAccess, CommandError, clientOf } from './api.ts';
import { parseWhole } from './arguments.ts';
import { json, table } from './output.ts';

export interface FleetCommandContext {
  readonly access: ApiAccess;
  readonly print: (text: string) => void;
  readonly printError: (text: string) => void;
}

type WorkerList = Static<typeof workerListSchema>;
type ShardList = Static<typeof shardListSchema>;
type Progress = Static<typeof progressSchema>;
type Drained = Static<typeof drainSchema>;

interface RebalanceOptions {
  readonly dryRun?: true;
  readonly progress?: true;
  readonly force?: true;
  readonly ifMembership?: number;
  readonly weight: Readonly<Record<string, number | null>>;
  readonly pin: NonNullable<RebalanceRequest['pins']>;
  readonly unpin: NonNullable<RebalanceRequest['pins']>;
  readonly move: NonNullable<RebalanceRequest['moves']>;
  readonly json?: true;
}

const PAGE = 4_096;
/** Moves that are shown to people. */
const SHOWN_MOVES = 20;
const LOOK_EVERY_MS = 250;

export function addFleetCommands(program: Command, { access, print, printError }: FleetCommandContext): void {
  program
    .command('workers')
    .description('list the processes of the fleet and what they hold')
    .option('--json', 'for programs')
    .action(async (options: { json?: true }) => {
      const list = await clientOf(access).operations.workers();
      print(options.json === true ? json(list) : describeWorkers(list));
    });

  program
    .command('shards')
    .description('list the shards, who holds them and whither they go')
    .option('--worker <worker>', 'only those that this worker (id or node name) has or is to get')
    .option('--moving', 'only those that are to be handed over')
    .option('--json', 'for programs')
    .action(async (options: { worker?: string; moving?: true; json?: true }) => {
      const shards = await readShards(access, options);
      print(options.json === true ? json({ shards }) : describeShards(shards));
    });

  program
    .command('drain')
    .description('have a worker give all its shards to the others, for this life of it')
    .argument('<worker>', 'its id, or the name of its node')
    .option('--undo', 'let it have shards again')
    .option('--force', 'also where no worker with a weight is left')
    .option('--wait', 'until it holds nothing')
    .option('--json', 'for programs')
    .action(async (named: string, options: { undo?: true; force?: true; wait?: true; json?: true }) => {
      const { undo = false, force = false, wait = false } = options;
      if (undo && (force || wait)) throw new CommandError('--undo goes with neither --force nor --wait.');
      const { operations } = clientOf(access);
      const drained = await (undo ? operations.undrain(named) : operations.drain(named, force ? { force } : {}));
      if (wait) await waitUntilEmpty(access, drained, printError);
      if (options.json === true) print(json(drained));
      else print(`${drained.name} (${drained.worker}) ${drainWords(undo, wait)}.\n`);
    });

  program
    .command('rebalance')
    .description('distribute the shards anew, with other weights and pins where that is said')
    .option('--dry-run', 'say what would move and change nothing')
    .option('--progress', 'show how far the present one is, and change nothing')
    .option('--weight <name=weight>', 'of the nodes of a name; "name=" takes it back; repeatable', addWeight, {})
    .option('--pin <shards=name>', 'a shard (12) or a range (0-99) to a node; repeatable', addTo('name'), [])
    .option('--unpin <shards>', 'a shard or a range; repeatable', addUnpin, [])
    .option('--move <shards=worker>', 'once, to a worker (id or node name); repeatable', addTo('worker'), [])
    .option('--if-membership <number>', 'only if the fleet is still the one of this number', parseWhole)
    .option('--force', 'also where no worker with a weight is left')
    .option('--json', 'for programs')
    .action(async (options: RebalanceOptions) => {
      const { dryRun = false, force = false, weight: weights, pin, unpin, move: moves, ifMembership } = options;
      const pins = [...pin, ...unpin];
      if (options.progress === true) {
        const changes = pins.length + moves.length + Object.keys(weights).length;
        if (changes > 0 || dryRun || force) throw new CommandError('--progress goes with nothing that changes.');
        const progress = await clientOf(access).operations.progress();
        print(options.json === true ? json(progress) : describeProgress(progress));
        return;
      }
      const condition = ifMembership === undefined ? {} : { ifMembership };
      const body = { dryRun, force, weights, pins, moves, ...condition };
      const answer = await clientOf(access).operations.rebalance(body);
      print(options.json === true ? json(answer) : describeRebalanced(answer));
    });
}

async function readShards(
  access: ApiAccess,
  { worker, moving }: { readonly worker?: string; readonly moving?: true },
): Promise<ShardList['shards']> {
  const shards: ShardList['shards'] = [];
  for (let after: number | null = null; ; ) {
    const page: ShardList = await clientOf(access).operations.shards({ worker, moving, after, limit: PAGE });
    shards.push(...page.shards);
    after = page.after;
    if (after === null) return shards;
  }
}

/** @throws CommandError where nobody takes what it holds */
async function waitUntilEmpty(access: ApiAccess, { worker }: Drained, tell: (text: string) => void): Promise<void> {
  for (let told = -1; ; await delay(LOOK_EVERY_MS)) {
    const { workers, planned } = await clientOf(access).operations.workers();
    const found = workers.find((each) => each.worker === worker);
    // One that is gone holds nothing, either.
    if (found === undefined || found.shards === 0) return;
    if (!found.draining) throw new CommandError('Somebody has taken the drain back.');
    if (planned && found.leaving === 0) throw new CommandError(`Nobody takes its ${found.shards} shards.`);
    if (found.shards !== told) tell(`${found.shards} shards left\n`);
    told = found.shards;
  }
}

function drainWords(undo: boolean, waited: boolean): string {
  if (undo) return 'may have shards again';
  return waited ? 'holds nothing' : 'gives its shards away';
}

function describeWorkers({ membership, planned, unowned, workers, weights }: WorkerList): string {
  const rows = workers.map((each) => [
    each.name,
    each.worker,
    each.roles.join(','),
    each.operatorWeight === null ? String(each.ownWeight) : `${each.operatorWeight} (own ${each.ownWeight})`,
    stateOf(each),
    String(each.shards),
    String(each.leaving),
    String(each.promised),
    String(each.rooms),
    String(each.waiting),
  ]);
  const head = ['NODE', 'WORKER', 'ROLES', 'WEIGHT', 'STATE', 'SHARDS', 'LEAVING', 'COMING', 'ROOMS', 'WAITING'];
  const names = new Set(workers.map(({ name }) => name));
  const idle = weights.filter(({ name }) => !names.has(name)).map(({ name, weight }) => `${name}=${weight}`);
  return [
    table([head, ...rows]),
    `membership ${membership}, ${planned ? 'distributed' : 'to be distributed'}, ${unowned} shards of nobody\n`,
    idle.length === 0 ? '' : `weights of nodes that are not there: ${idle.join(', ')}\n`,
  ].join('');
}

function stateOf({ draining, leaseLeftMs }: WorkerList['workers'][number]): string {
  if (leaseLeftMs <= 0) return 'lease ended';
  return draining ? 'draining' : `lease ${leaseLeftMs} ms`;
}

function describeShards(shards: ShardList['shards']): string {
  const rows = shards.map(({ shard, owner, heir, heirLeftMs, pin, epoch, rooms, waiting }) => [
    String(shard),
    nameOf(owner),
    heir === null ? '' : `to ${nameOf(heir)} in ${heirLeftMs} ms`,
    pin ?? '',
    String(epoch),
    String(rooms),
    String(waiting),
  ]);
  return table([['SHARD', 'OWNER', 'MOVING', 'PIN', 'EPOCH', 'ROOMS', 'WAITING'], ...rows]);
}

function describeRebalanced({ dryRun, membership, moved, moves, workers, warnings }: RebalancedView): string {
  const loads = workers.map(({ name, worker, before, after }) => [name, worker, String(before), String(after)]);
  const shown = moves
    .slice(0, SHOWN_MOVES)
    .map(({ shard, from, to }) => [
      `shard ${shard}`,
      to === null ? `stays at ${nameOf(from)}` : `${nameOf(from)} -> ${nameOf(to)}`,
    ]);
  return [
    table([['NODE', 'WORKER', 'BEFORE', 'AFTER'], ...loads]),
    table(shown),
    moved > shown.length ? `and ${moved - shown.length} more\n` : '',
    ...warnings.map(({ path, rule, action, code }) => `WARNING ${path}: not ${rule}. ${action} [${code}]\n`),
    `${moved} shards ${dryRun ? 'would move' : 'move'}, as of membership ${membership}.`,
    dryRun ? ' Nothing was changed.\n' : ' See "roomline rebalance --progress" for the progress.\n',
  ].join('');
}

function describeProgress(progress: Progress): string {
  const { planned, running, unowned, promised, moved, passages, changedAt, last } = progress;
  const rows = passages.map(({ from, to, shards, nextDeadlineMs }) => {
    return [`${nameOf(from)} -> ${nameOf(to)}`, `${shards} shards`, `within ${nextDeadlineMs} ms`];
  });
  const state = running ? (planned ? 'being handed over' : 'to be distributed') : 'nothing moves';
  return [
    `${state}: ${promised} to be handed over, ${moved} moved since ${new Date(changedAt).toISOString()}, ${unowned} of nobody\n`,
    table(rows),
    last === null ? '' : `last: ${last.action} by ${last.actor} at ${new Date(last.at).toISOString()}\n`,
  ].join('');
}

function nameOf(worker: { readonly worker: string; readonly name: string | null } | null): string {
  return worker === null ? 'nobody' : (worker.name ?? worker.worker);
}

/** The last `=` divides: names may hold others. */
function divide(text: string): readonly [string, string] {
  const at = text.lastIndexOf('=');
  if (at < 1) throw new InvalidArgumentError('Two parts with = between them.');
  return [text.slice(0, at), text.slice(at + 1)];
}

function addWeight(text: string, before: Readonly<Record<string, number | null>>): Record<string, number | null> {
  const [name, weight] = divide(text);
  if (Object.hasOwn(before, name)) throw new InvalidArgumentError('Each name once.');
  if (weight !== '' && !/^\d+(\.\d+)?$/.test(weight)) throw new InvalidArgumentError('A weight is a number.');
  return Object.fromEntries([...Object.entries(before), [name, weight === '' ? null : Number(weight)]]);
}

function addTo(field: 'name' | 'worker') {
  return (text: string, before: readonly object[]): readonly object[] => {
    const at = text.indexOf('=');
    const target = text.slice(at + 1);
    if (at < 1 || target === '') throw new InvalidArgumentError('Such as 12=node-a or 0-99=node-a.');
    return [...before, { ...parseShards(text.slice(0, at)), [field]: target }];
  };
}

function addUnpin(text: string, before: readonly object[]): readonly object[] {
  return [...before, { ...parseShards(text), name: null }];
}

function parseShards(text: string): object {
  const [, first, last] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(text) ?? [];
  if (first === undefined) throw new InvalidArgumentError('A shard (12) or a range (0-99).');
  return last === undefined ? { shard: Number(first) } : { first: Number(first), last: Number(last) };
}
