import { type Draws, Purpose } from './random.ts';
import {
  type ChannelKnobs,
  layChannel,
  layMessage,
  type MessageKnobs,
  overlay,
  type Rule,
  type Settings,
  SettingsError,
} from './settings.ts';

/** What rules may ask about a message. */
export interface Subject {
  channel: string;
  to: string;
  nth: number;
  text: string | undefined;
  draws: Draws;
  /** Since the platform's start. */
  nowMs: number;
}

interface CompiledRule {
  rule: Rule;
  recipients: Set<string> | undefined;
}

const nthMatches = (rule: Rule['match']['nth'], nth: number): boolean => {
  if (rule === undefined) return true;
  if (typeof rule === 'number') return nth === rule;
  const from = rule.from ?? 1;
  return nth >= from && nth <= (rule.until ?? Number.POSITIVE_INFINITY) && (nth - from) % (rule.every ?? 1) === 0;
};

/**
 * Finds the knobs that hold for a message: defaults, then account, channel, recipient, rules in their order, and last the
 * marker in its text. Made anew for each change of settings; combinations already seen are kept.
 */
export class Resolver {
  readonly #settings: Settings;
  readonly #channelKnobs = new Map<string, ChannelKnobs>();
  readonly #channelMessage = new Map<string, MessageKnobs>();
  readonly #byToken = new Map<string, string>();
  readonly #open: string | undefined;
  readonly #rules: CompiledRule[];
  readonly #seen = new Map<string, MessageKnobs>();

  constructor(settings: Settings) {
    this.#settings = settings;
    let open: string | undefined;
    for (const [name, channel] of Object.entries(settings.channels)) {
      const account = settings.accounts[channel.account ?? name];
      const ofAccount = layMessage(`accounts/${channel.account}/message`, settings.message, account?.message ?? {});
      this.#channelMessage.set(name, layMessage(`channels/${name}/message`, ofAccount, channel.message ?? {}));
      this.#channelKnobs.set(name, layChannel(`channels/${name}/knobs`, settings.channel, channel.knobs ?? {}));
      if (channel.token === undefined) {
        if (open !== undefined) {
          throw new SettingsError(`channels: only one can go without a token, not both ${open} and ${name}`);
        }
        open = name;
      } else if (this.#byToken.has(channel.token)) {
        throw new SettingsError(`channels/${name}/token: already used by ${this.#byToken.get(channel.token)}`);
      } else this.#byToken.set(channel.token, name);
    }
    this.#open = open;
    this.#rules = settings.rules.map((rule) => {
      const { to } = rule.match;
      return { rule, recipients: to === undefined ? undefined : new Set(Array.isArray(to) ? to : [to]) };
    });
  }

  get settings(): Settings {
    return this.#settings;
  }

  /** The channel that a bearer token belongs to; undefined: the token is not valid. */
  channelOf(token: string): string | undefined {
    const name = this.#byToken.get(token) ?? this.#open;
    return name === undefined || this.#settings.channels[name]?.revoked ? undefined : name;
  }

  accountOf(channel: string): string {
    return this.#settings.channels[channel]?.account ?? channel;
  }

  channel(name: string): ChannelKnobs {
    return this.#channelKnobs.get(name) ?? this.#settings.channel;
  }

  /** Knobs of a channel's messages before recipient and rules. */
  base(channel: string): MessageKnobs {
    return this.#channelMessage.get(channel) ?? this.#settings.message;
  }

  /** Knobs of a recipient's messages before rules. */
  recipient(channel: string, to: string): MessageKnobs {
    const patch = this.#settings.recipients[to];
    return patch === undefined ? this.base(channel) : this.#cached(`${channel} ${to}`, this.base(channel), [patch]);
  }

  message(subject: Subject): MessageKnobs {
    const base = this.recipient(subject.channel, subject.to);
    if (this.#rules.length === 0) return base;
    const hits: number[] = [];
    for (const [index, compiled] of this.#rules.entries()) if (this.#hits(compiled, index, subject)) hits.push(index);
    if (hits.length === 0) return base;
    const special = this.#settings.recipients[subject.to] === undefined ? '' : subject.to;
    return this.#cached(
      `${subject.channel} ${special} ${hits.join()}`,
      base,
      hits.map((index) => this.#settings.rules[index]?.message),
    );
  }

  #hits({ rule, recipients }: CompiledRule, index: number, subject: Subject): boolean {
    const { match } = rule;
    return (
      (match.channel === undefined || match.channel === subject.channel) &&
      (match.account === undefined || match.account === this.accountOf(subject.channel)) &&
      (recipients === undefined || recipients.has(subject.to)) &&
      nthMatches(match.nth, subject.nth) &&
      (match.textIncludes === undefined || (subject.text?.includes(match.textIncludes) ?? false)) &&
      subject.nowMs >= (match.fromMs ?? 0) &&
      subject.nowMs < (match.untilMs ?? Number.POSITIVE_INFINITY) &&
      subject.draws.chance(Purpose.rule + index, match.probability ?? 1)
    );
  }

  #cached(name: string, base: MessageKnobs, patches: unknown[]): MessageKnobs {
    let knobs = this.#seen.get(name);
    if (knobs === undefined) {
      knobs = patches.reduce<MessageKnobs>((so, patch) => overlay(so, patch), base);
      this.#seen.set(name, knobs);
    }
    return knobs;
  }
}

const MARKER = /@@(\{.*\})@@/s;

/** Knobs asked for in the text itself, laid over `knobs`; the same object when there are none. Throws SettingsError. */
export const obeyMarker = (knobs: MessageKnobs, text: string | undefined): MessageKnobs => {
  if (text === undefined || !text.includes('@@{')) return knobs;
  const found = MARKER.exec(text)?.[1];
  if (found === undefined) throw new SettingsError('marker: "@@{" without "}@@"');
  let patch: unknown;
  try {
    patch = JSON.parse(found);
  } catch (error) {
    throw new SettingsError(`marker: not JSON (${(error as Error).message})`, { cause: error });
  }
  return layMessage('marker', knobs, patch);
};
