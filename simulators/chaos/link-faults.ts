/** Faults of the links between an engine and what it depends on. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { choose } from './engines.ts';
import type { EngineChoice, Link } from './plan.ts';
import type { Ambush } from './postgres-wire.ts';
import type { Direction, TcpProxy } from './proxy.ts';
import { PASS, type Treatment } from './stream.ts';
import { aimAt, deed, last, type Perform, pause, type World, waitFor, whereBatches } from './world.ts';

export const cutLink: Perform<'link_cut'> = async (world, { link, engine: choice }) => {
  // One that stands by may have no connection to the platform.
  const engines = world.engines.filter((each) => each.uses(link));
  let engine = choose(engines, choice);
  await waitFor(world, () => {
    if (engine.links.get(link).open > 0) return true;
    engine = choose(engines, { ...choice, of: 'holders' });
    return false;
  });
  const cut = engine.links.get(link).cut();
  return deed(cut > 0, `${engine.name} to ${link}: ${cut} connections reset`);
};

export const cutLinkAfter: Perform<'link_cut_after'> = async (world, fault) => {
  const { bytes } = fault;
  const { name, hit, done } = await treat(world, fault, 'cut', { kind: 'cut_after', bytes });
  return deed(hit, `${name}: ${done} connections reset after ${bytes} bytes`);
};

export const blackHole: Perform<'link_black_hole'> = async (world, fault) => {
  const { end, directions } = fault;
  const cut = end === 'cuts';
  const { name, hit, done } = await treat(world, fault, 'swallowedBytes', { kind: 'black_hole' }, { directions, cut });
  return deed(hit, `${name}: ${done} bytes swallowed; it ${end}`);
};

export const delayLink: Perform<'link_latency'> = async (world, fault) => {
  const { name, hit, done } = await treat(world, fault, 'delayedBytes', { kind: 'latency', ms: fault.ms });
  return deed(hit, `${name}: ${done} bytes came ${fault.ms} ms later`);
};

export const trickle: Perform<'link_trickle'> = async (world, fault) => {
  const { bytesPerSecond } = fault;
  const { name, hit, done } = await treat(world, fault, 'delayedBytes', { kind: 'trickle', bytesPerSecond });
  return deed(hit, `${name}: ${done} bytes trickled`);
};

interface OnLink {
  readonly link: Link;
  readonly engine: EngineChoice;
  readonly forMs: number;
}

/** Treats what goes over a link until this count has risen; resolves with by how much. */
async function treat(
  world: World,
  { link, engine: choice, forMs }: OnLink,
  counts: 'cut' | 'swallowedBytes' | 'delayedBytes',
  treatment: Treatment,
  how: { readonly directions?: readonly Direction[]; readonly cut?: boolean } = {},
) {
  const count = () => world.engines.reduce((sum, { links }) => sum + links.get(link).counts[counts], 0);
  const before = count();
  let done = 0;
  const { engine, hit } = await aimAt(world, {
    engine: choice,
    forMs,
    atHolder: link === 'platform',
    suits: (each) => each.uses(link),
    begin: ({ links }) => {
      const proxy = links.get(link);
      proxy.treat(treatment, how.directions);
      return () => {
        if (how.cut) proxy.cut();
        proxy.treat(PASS);
      };
    },
    hasHit: () => {
      done = count() - before;
      return done > 0;
    },
  });
  return { name: `${engine.name} to ${link}`, hit, done };
}

export const refuseLink: Perform<'link_refuse'> = async (world, { link, engine: choice, forMs }) => {
  const engine = choose(
    world.engines.filter((each) => each.uses(link)),
    choice,
  );
  const proxy = engine.links.get(link);
  const { open } = proxy;
  await proxy.refuse();
  try {
    const refused = await isRefused(proxy);
    await pause(world, forMs);
    return deed(refused, `${engine.name} to ${link}: refused, ${open} connections reset`);
  } finally {
    await proxy.listen();
  }
};

export const refuseWebhooks: Perform<'webhooks_refused'> = async (world, { forMs }) => {
  const { platform } = world.rig;
  const proxies = world.engines.filter((each) => each.uses('webhooks')).map(({ links }) => links.get('webhooks'));
  const failed = async () => (await platform.stats()).webhooks.failed;
  const before = await failed();
  await Promise.all(proxies.map((proxy) => proxy.refuse()));
  try {
    const fired = await last(world, forMs, async () => (await failed()) > before);
    return deed(fired, `${(await failed()) - before} webhook calls reached nobody`);
  } finally {
    await Promise.all(proxies.map((proxy) => proxy.listen()));
  }
};

export const cutAtCommit: Perform<'commit_cut'> = async (world, { engine: choice, batch }) => {
  let struck = false;
  const ambush: Ambush = {
    batch,
    strike: () => {
      struck = true;
      return 'cut';
    },
  };
  const { engine } = await aimAt(world, {
    engine: choice,
    ...whereBatches(world, batch),
    begin: ({ links }) => {
      links.ambushes.lay(ambush);
      return () => void links.ambushes.lift(ambush);
    },
    hasHit: () => struck,
  });
  return deed(struck, `${engine.name}: cut between the commit of one ${batch} batch and its answer`);
};

async function isRefused(proxy: TcpProxy): Promise<boolean> {
  const socket = connect(proxy.port, '127.0.0.1');
  const [error] = await Promise.race([once(socket, 'error'), once(socket, 'connect')]).catch((thrown) => [thrown]);
  socket.destroy();
  return (error as NodeJS.ErrnoException | undefined)?.code === 'ECONNREFUSED';
}
