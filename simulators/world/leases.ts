/** Who holds which shard, as the statements on leases that were executed tell it. */

interface Worker {
  fenced: boolean;
  generation: number;
}

export class Leases {
  readonly #owners = new Map<number, string>();
  readonly #workers = new Map<string, Worker>();
  readonly #onBroken: (what: string) => void;
  /** Claims of which their workers do not know whether they committed. */
  readonly #lost = new Set<string>();
  takeOvers = 0;
  handOvers = 0;

  constructor(onBroken: (what: string) => void) {
    this.#onBroken = onBroken;
  }

  registered(worker: string, generation: number): void {
    if (this.#workers.has(worker)) this.#onBroken(`two lives are called ${worker}`);
    this.#workers.set(worker, { fenced: false, generation });
  }

  fenced(worker: string): void {
    const known = this.#workers.get(worker);
    if (known !== undefined) known.fenced = true;
  }

  raised(worker: string, generation: number): void {
    const known = this.#workers.get(worker);
    if (known === undefined) return;
    if (generation <= known.generation) this.#onBroken(`${worker}'s generation fell to ${generation}`);
    known.generation = generation;
  }

  took(worker: string, shards: readonly number[]): void {
    for (const shard of shards) {
      const owner = this.#owners.get(shard);
      if (owner === worker) continue;
      if (owner !== undefined) this.takeOvers++;
      if (owner !== undefined && !this.isFenced(owner)) {
        this.#onBroken(`${worker} took shard ${shard} of ${owner}, which is not fenced`);
      }
      this.#owners.set(shard, worker);
    }
  }

  gave(worker: string, shards: readonly number[]): void {
    for (const shard of shards) {
      const owner = this.#owners.get(shard);
      if (owner !== worker) this.#onBroken(`${worker} gave away shard ${shard} of ${owner ?? 'nobody'}`);
      this.#owners.delete(shard);
      this.handOvers++;
    }
  }

  /** A worker was told that it is not known what became of its claim. */
  claimLost(room: number, worker: string, generation: number): void {
    this.#lost.add(`${room} ${worker} ${generation}`);
  }

  /** A claim that may yet commit is refused before another is made: the generation has risen in between. */
  claims(room: number, worker: string, generation: number): void {
    if (!this.#lost.has(`${room} ${worker} ${generation}`)) return;
    this.#onBroken(`${worker} claims room ${room} again in generation ${generation}, in which a claim may yet commit`);
  }

  isFenced(worker: string): boolean {
    return this.#workers.get(worker)?.fenced ?? false;
  }

  ownerOf(shard: number): string | null {
    return this.#owners.get(shard) ?? null;
  }

  /** Why this worker may not claim in this shard, or null. */
  wrongHolder(shard: number, worker: string, generation: number): string | null {
    const known = this.#workers.get(worker);
    if (known === undefined) return 'nobody is called so';
    if (known.fenced) return 'it is fenced';
    if (known.generation !== generation) return `its generation is ${known.generation}, not ${generation}`;
    const owner = this.ownerOf(shard);
    return owner === worker ? null : `shard ${shard} belongs to ${owner ?? 'nobody'}`;
  }
}
