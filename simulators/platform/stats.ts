/** Counters of one platform, cheap to raise and read as one JSON object. */
export interface Stats {
  requests: number;
  accepted: number;
  duplicates: number;
  refused: number;
  dropped: number;
  shown: number;
  lookups: number;
  /** Requests that came although an earlier answer had asked to wait, for their channel or account. */
  beforeRetryAfter: number;
  /** Statuses handed to the webhooks, by name. */
  statuses: Record<string, number>;
  /** `unsubscribed`: statuses that were not told because nobody was subscribed any more. */
  webhooks: {
    calls: number;
    answered2xx: number;
    failed: number;
    retried: number;
    givenUp: number;
    deadlines: number;
    unsubscribed: number;
  };
  /** Injected faults by name: send faults, phone and status faults, outages, signatures, junk. */
  faults: Record<string, number>;
  /** Accepted and shown, by channel. */
  channels: Record<string, { accepted: number; shown: number }>;
}

export const newStats = (): Stats => ({
  requests: 0,
  accepted: 0,
  duplicates: 0,
  refused: 0,
  dropped: 0,
  shown: 0,
  lookups: 0,
  beforeRetryAfter: 0,
  statuses: {},
  webhooks: { calls: 0, answered2xx: 0, failed: 0, retried: 0, givenUp: 0, deadlines: 0, unsubscribed: 0 },
  faults: {},
  channels: {},
});

export const raise = (counters: Record<string, number>, name: string, by = 1): void => {
  counters[name] = (counters[name] ?? 0) + by;
};
