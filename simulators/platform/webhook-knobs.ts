import { type Static, Type } from 'typebox';

/** How a channel's statuses are told: when a call leaves, when it is repeated, and what it carries beside them. */

const strict = { additionalProperties: false } as const;
const Probability = Type.Number({ minimum: 0, maximum: 1 });
const Milliseconds = Type.Number({ minimum: 0 });

export const WebhookKnobs = Type.Object(
  {
    /** Parallel connections per target; nothing keeps their order. */
    connections: Type.Integer({ minimum: 1, maximum: 4_096 }),
    /** A batch leaves when it has its drawn size, or `lingerMs` after its first status. */
    batch: Type.Object(
      {
        minSize: Type.Integer({ minimum: 1, maximum: 5_000 }),
        maxSize: Type.Integer({ minimum: 1, maximum: 5_000 }),
        lingerMs: Milliseconds,
      },
      strict,
    ),
    /** A call that is not answered in this time counts as failed, and is repeated. */
    deadlineMs: Type.Number({ exclusiveMinimum: 0 }),
    retry: Type.Object(
      {
        firstMs: Milliseconds,
        factor: Type.Number({ minimum: 1 }),
        maxMs: Milliseconds,
        maxAgeMs: Milliseconds,
        on: Type.Union([Type.Literal('anything'), Type.Literal('server_errors'), Type.Literal('never')]),
        /** The first repetition follows at once; `firstMs` is before the second. */
        atOnce: Type.Boolean(),
        /** By chance up to so much is added to `maxMs`. */
        spreadMs: Milliseconds,
        /** The longest `Retry-After` that is honoured; 0: none is. */
        longestAskedMs: Milliseconds,
        /** One recipient's calls go strictly one after another: one that fails holds up the rest, and nobody else's. */
        inOrder: Type.Boolean(),
      },
      strict,
    ),
    /** Who fails for so long without a success, or answers 410 for so long, is told nothing more. */
    unsubscribe: Type.Union([
      Type.Null(),
      Type.Object({ on: Type.Union([Type.Literal('failure'), Type.Literal('gone')]), afterMs: Milliseconds }, strict),
    ]),
    /** Multiplies every time of the two above: 0.001 makes a day of it a minute and a half. */
    timeScale: Type.Number({ exclusiveMinimum: 0 }),
    /** Probabilities per call that it is preceded by one with a bad signature; `previous` signs with the old secret. */
    signature: Type.Object(
      {
        wrongKey: Probability,
        tampered: Probability,
        missing: Probability,
        expired: Probability,
        previous: Probability,
        /** Sign with the present and the previous secret. */
        both: Type.Boolean(),
      },
      strict,
    ),
    /** Probabilities per call that it also carries such an item. */
    junk: Type.Object(
      {
        unknownId: Probability,
        unknownReference: Probability,
        unknownStatus: Probability,
        extraFields: Probability,
        malformed: Probability,
      },
      strict,
    ),
    /** Probability per call that it also carries something that a user wrote, where the platform has that. */
    inbound: Probability,
  },
  strict,
);
export type WebhookKnobs = Static<typeof WebhookKnobs>;

export const defaultWebhookKnobs: WebhookKnobs = {
  connections: 16,
  batch: { minSize: 1, maxSize: 1, lingerMs: 0 },
  deadlineMs: 5_000,
  retry: {
    firstMs: 1_000,
    factor: 2,
    maxMs: 60_000,
    maxAgeMs: 86_400_000,
    on: 'anything',
    atOnce: false,
    spreadMs: 0,
    longestAskedMs: 0,
    inOrder: false,
  },
  unsubscribe: null,
  timeScale: 1,
  signature: { wrongKey: 0, tampered: 0, missing: 0, expired: 0, previous: 0, both: false },
  junk: { unknownId: 0, unknownReference: 0, unknownStatus: 0, extraFields: 0, malformed: 0 },
  inbound: 0,
};
