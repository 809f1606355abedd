import { Ajv } from 'ajv';
import type { Static } from 'typebox';
import { Type } from 'typebox';
import type { Alarm } from './clock.ts';
import { SettingsError } from './settings.ts';
import { raise } from './stats.ts';
import { BROKEN_HANDSHAKES } from './tls.ts';
import type { World } from './world.ts';

/** A time in which the platform, or one of its channels, is ill. */
export const OutagePlan = Type.Object(
  {
    kind: Type.Union([
      /** The port is closed, open connections are reset; whole platform only. */
      Type.Literal('refuse'),
      /** Requests are read and then reset, unprocessed. */
      Type.Literal('reset'),
      /** Requests are swallowed; their connections are cut when the outage ends. */
      Type.Literal('black_hole'),
      /** Everything works, but answers take `crawlMs` longer. */
      Type.Literal('crawl'),
      /** Unprocessed, answered with `status`. */
      Type.Literal('server_error'),
      /** Open connections are reset, and the TLS handshakes of new ones broken; only of a whole platform with TLS. */
      Type.Literal('tls'),
    ]),
    /** Starts so long from now. */
    inMs: Type.Optional(Type.Number({ minimum: 0 })),
    /** Lasts so long; without it, until ended by `endAll`. */
    forMs: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
    channel: Type.Optional(Type.String({ minLength: 1 })),
    crawlMs: Type.Optional(Type.Number({ minimum: 0 })),
    status: Type.Optional(Type.Integer({ minimum: 500, maximum: 599 })),
    /** The answer says `"processed": false`: a definite refusal. */
    definite: Type.Optional(Type.Boolean()),
    /** How handshakes are broken; without it, each one in a way that is drawn. */
    handshake: Type.Optional(Type.Enum([...BROKEN_HANDSHAKES])),
  },
  { additionalProperties: false },
);
export type OutagePlan = Static<typeof OutagePlan>;

/** The listener, as far as an outage drives it. */
export interface Doors {
  /** TLS is spoken. */
  readonly tls: boolean;
  close(): void;
  open(): void;
  cut(): void;
  cutSwallowed(): void;
}

const validPlan = new Ajv().compile(OutagePlan);

export class Outages {
  readonly #world: World;
  readonly #doors: Doors;
  readonly #active = new Set<OutagePlan>();
  readonly #starts = new Map<OutagePlan, Alarm>();

  constructor(world: World, doors: Doors) {
    this.#world = world;
    this.#doors = doors;
  }

  /** Throws SettingsError. */
  schedule(plan: OutagePlan): void {
    if (!validPlan(plan)) {
      const error = validPlan.errors?.[0];
      const where = error?.instancePath.slice(1) || 'outage';
      const unknown = error?.keyword === 'additionalProperties' ? `: "${error.params.additionalProperty}"` : '';
      throw new SettingsError(`${where}: ${error?.message}${unknown}`);
    }
    if (plan.kind === 'refuse' && plan.channel !== undefined) {
      throw new SettingsError('outage: only the whole platform can refuse connections; use reset for one channel');
    }
    if (plan.kind === 'tls' && plan.channel !== undefined) {
      throw new SettingsError('outage: a handshake names no channel; only those of the whole platform can be broken');
    }
    if (plan.kind === 'tls' && !this.#doors.tls) {
      throw new SettingsError('outage: there are no handshakes to break on plain HTTP; start the platform with --tls');
    }
    if (plan.channel !== undefined && this.#world.resolver.settings.channels[plan.channel] === undefined) {
      throw new SettingsError(`outage: unknown channel "${plan.channel}"`);
    }
    const own = { ...plan };
    if (own.inMs)
      this.#starts.set(
        own,
        this.#world.scheduler.after(own.inMs, () => this.#start(own)),
      );
    else this.#start(own);
  }

  /** The outage that hits a channel's requests now. */
  hitting(channel: string | undefined): OutagePlan | undefined {
    if (this.#active.size === 0) return undefined;
    for (const plan of this.#active) if (plan.channel === undefined || plan.channel === channel) return plan;
    return undefined;
  }

  /** The outage that breaks handshakes now. */
  ofTls(): OutagePlan | undefined {
    return this.active.find(({ kind }) => kind === 'tls');
  }

  /** How much longer a channel's answers take now. */
  crawlMs(channel: string): number {
    const plan = this.hitting(channel);
    return plan?.kind === 'crawl' ? (plan.crawlMs ?? 30_000) : 0;
  }

  get active(): OutagePlan[] {
    return [...this.#active];
  }

  /** Ends what is active and forgets what is scheduled. */
  endAll(): void {
    for (const start of this.#starts.values()) start.cancel();
    this.#starts.clear();
    for (const plan of this.#active) this.#end(plan);
  }

  #start(plan: OutagePlan): void {
    this.#starts.delete(plan);
    this.#active.add(plan);
    raise(this.#world.stats.faults, `outage_${plan.kind}`);
    this.#world.truth.append({ t: 'event', at: this.#world.now(), event: 'outage_started', detail: plan });
    if (plan.kind === 'refuse') this.#doors.close();
    if (plan.kind === 'tls') this.#doors.cut();
    if (plan.forMs !== undefined) this.#world.scheduler.after(plan.forMs, () => this.#end(plan));
  }

  #end(plan: OutagePlan): void {
    if (!this.#active.delete(plan)) return;
    this.#world.truth.append({ t: 'event', at: this.#world.now(), event: 'outage_ended', detail: plan });
    const active = this.active;
    if (plan.kind === 'refuse' && !active.some(({ kind }) => kind === 'refuse')) this.#doors.open();
    if (plan.kind === 'black_hole' && !active.some(({ kind }) => kind === 'black_hole')) this.#doors.cutSwallowed();
  }
}
