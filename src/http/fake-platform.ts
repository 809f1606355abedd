/** The fake platform of development mode, through its control API: a few of its knobs, named as an operator thinks of them. */
import { RoomlineError } from '../errors.ts';
import type { DelayKnob, PlatformKnobs, PlatformPatch, PlatformView } from './development-schemas.ts';

type Tree = Readonly<Record<string, unknown>>;

const TIMEOUT_MS = 5_000;
const RETRY_AFTER_MS = 1_000;

/** Each fault has a name of its own at the platform, so that those which others set there stay. */
const FAULTS = {
  refusals: {
    name: 'development_refusal',
    fault: { kind: 'refuse', status: 429, scope: 'message', retryAfterMs: RETRY_AFTER_MS },
  },
  serverErrors: {
    name: 'development_server_error',
    fault: { kind: 'server_error', status: 503, when: 'before_acceptance' },
  },
  lostAnswers: { name: 'development_lost_answer', fault: { kind: 'reset', when: 'after_acceptance' } },
} as const;
type FaultKnob = keyof typeof FAULTS;
const FAULT_KNOBS = Object.keys(FAULTS) as FaultKnob[];

export class FakePlatform {
  readonly #controlUrl: string;
  readonly #fetch: typeof fetch;

  /** @param controlUrl where its control API listens */
  constructor(controlUrl: string, request: typeof fetch = fetch) {
    this.#controlUrl = controlUrl;
    this.#fetch = request;
  }

  /** @throws RoomlineError `not_ready` where it does not answer */
  async view(): Promise<Omit<PlatformView, 'asOf'>> {
    const [settings, stats, outages] = await Promise.all([
      this.#call('GET', 'settings'),
      this.#call('GET', 'stats') as Promise<PlatformView['totals']>,
      this.#call('GET', 'outages') as unknown as Promise<readonly { kind: string; channel?: string }[]>,
    ]);
    const base = settings.message as Tree;
    const accounts = (settings.accounts ?? {}) as Readonly<Record<string, Tree>>;
    const channels = Object.entries(settings.channels as Readonly<Record<string, Tree>>).map(([channel, own]) => {
      const account = accounts[String(own.account ?? channel)]?.message;
      return { channel, knobs: knobsIn(laid(laid(base, account), own.message)) };
    });
    const { requests, accepted, refused, shown, dropped } = stats;
    return {
      knobs: knobsIn(base),
      channels,
      outages: outages.map(({ kind, channel = null }) => ({ kind, channel })),
      totals: { requests, accepted, refused, shown, dropped },
    };
  }

  /**
   * Does what stands in the patch: first the knobs, then the outage.
   * @throws RoomlineError `not_ready` where it does not answer, `field_invalid` with its own words where it refuses
   */
  async change({ channel, knobs, outage }: PlatformPatch): Promise<void> {
    if (knobs !== undefined) {
      const message = patchOf(knobs);
      const { channels } = await this.#call('GET', 'settings');
      const names = channel === undefined ? Object.keys(channels as object) : [channel];
      if (channel !== undefined && !Object.hasOwn(channels as object, channel)) {
        throw new RoomlineError('field_invalid', { field: 'channel', rule: 'a channel of the fake platform' });
      }
      // What a channel says of itself would hide what all are told.
      const each = Object.fromEntries(names.map((name) => [name, { message }]));
      await this.#call('PATCH', 'settings', { ...(channel === undefined ? { message } : {}), channels: each });
    }
    if (outage === null) await this.#call('DELETE', 'outages');
    else if (outage !== undefined)
      await this.#call('POST', 'outages', channel === undefined ? outage : { ...outage, channel });
  }

  async #call(method: string, what: string, body?: unknown): Promise<Tree> {
    const ask = this.#fetch;
    const away = (cause: unknown): never => {
      throw new RoomlineError('not_ready', { detail: 'the fake platform does not answer', cause });
    };
    const response = await ask(new URL(`/control/${what}`, this.#controlUrl), {
      method,
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    }).catch(away);
    const answer = (await response.json().catch(away)) as Tree;
    if (response.ok) return answer;
    if (response.status !== 400) return away(new Error(`it answers ${response.status}`));
    throw new RoomlineError('field_invalid', { field: 'body', rule: String(answer.error) });
  }
}

function patchOf(knobs: NonNullable<PlatformPatch['knobs']>): Tree {
  const { responseDelay, phoneDelay, ackLoss, phonesOnline } = knobs;
  const faults = FAULT_KNOBS.flatMap((knob) => {
    const probability = knobs[knob];
    return probability === undefined ? [] : [[FAULTS[knob].name, { ...FAULTS[knob].fault, probability }] as const];
  });
  return {
    send: {
      ...(responseDelay === undefined ? {} : { responseDelayMs: drawn(responseDelay) }),
      faults: Object.fromEntries(faults),
    },
    phone: {
      ...(phoneDelay === undefined ? {} : { delayMs: drawn(phoneDelay) }),
      ...(phonesOnline === undefined ? {} : { online: phonesOnline }),
    },
    status: ackLoss === undefined ? {} : { loseAllProbability: ackLoss },
  };
}

function drawn({ medianMs, p99Ms }: DelayKnob): number | Tree {
  return medianMs === p99Ms ? medianMs : { kind: 'lognormal', medianMs, p99Ms };
}

function knobsIn(message: Tree): PlatformKnobs {
  const { send, phone, status } = message as {
    readonly send: { readonly responseDelayMs: unknown; readonly faults: Readonly<Record<string, Tree>> };
    readonly phone: { readonly delayMs: unknown; readonly online: boolean };
    readonly status: { readonly loseAllProbability: number };
  };
  const of = (knob: FaultKnob): number => Number(send.faults[FAULTS[knob].name]?.probability ?? 0);
  return {
    responseDelay: delayIn(send.responseDelayMs),
    phoneDelay: delayIn(phone.delayMs),
    ackLoss: status.loseAllProbability,
    refusals: of('refusals'),
    serverErrors: of('serverErrors'),
    lostAnswers: of('lostAnswers'),
    phonesOnline: phone.online,
  };
}

function delayIn(delay: unknown): DelayKnob | null {
  if (typeof delay === 'number') return { medianMs: delay, p99Ms: delay };
  const { kind, medianMs, p99Ms } = delay as { readonly kind: string } & DelayKnob;
  return kind === 'lognormal' ? { medianMs, p99Ms } : null;
}

/** As the platform lays its settings over each other: what carries a `kind` is replaced whole. */
function laid(base: Tree, over: unknown): Tree {
  if (!isTree(over)) return base;
  const entries = Object.entries(over).map(([name, value]) => {
    const before = base[name];
    return [name, isTree(before) && isTree(value) && !('kind' in value) ? laid(before, value) : value];
  });
  return { ...base, ...Object.fromEntries(entries) };
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
