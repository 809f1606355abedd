import type { TObject, TProperties } from 'typebox';
import { Type } from 'typebox';

const strict = { additionalProperties: false } as const;

/**
 * A platform that queues instead of refusing: it accepts what comes, and a message leaves, and has its first status, when
 * its turn comes. The schema is given that of a refusal.
 */
export const senderQueue = <P extends TProperties>({ properties }: TObject<P>) =>
  Type.Union([
    Type.Null(),
    Type.Object(
      {
        perSecond: Type.Number({ exclusiveMinimum: 0 }),
        /** How many may wait, the one whose turn it is not counted. */
        maxWaiting: Type.Integer({ minimum: 0 }),
        /** What happens to one too many: refused at once, or accepted and then reported as failed. */
        overflow: Type.Union([
          Type.Object({ kind: Type.Literal('refuse'), ...properties }, strict),
          Type.Object({ kind: Type.Literal('fail'), code: Type.String({ minLength: 1 }) }, strict),
        ]),
      },
      strict,
    ),
  ]);

/** When each sender's queue will be empty. */
export class SenderQueues {
  readonly #emptyAt = new Map<string, number>();

  /** How long one more message would wait, in milliseconds; undefined: there is no room for it. */
  waitMs(sender: string, { perSecond, maxWaiting }: { perSecond: number; maxWaiting: number }, now: number) {
    const waitMs = Math.max(0, (this.#emptyAt.get(sender) ?? 0) - now);
    // Less than a nanosecond is what adding up times leaves over.
    const waiting = Math.ceil((waitMs * perSecond) / 1_000 - 1e-6);
    return waiting > maxWaiting ? undefined : waitMs;
  }

  /** The message takes its place. */
  enter(sender: string, { perSecond }: { perSecond: number }, now: number): void {
    this.#emptyAt.set(sender, Math.max(now, this.#emptyAt.get(sender) ?? 0) + 1_000 / perSecond);
  }
}
