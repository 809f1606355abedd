import { describe, expect, it } from 'vitest';
import { parseMetrics } from '../../../simulators/rig/metrics.ts';

const TEXT = `# HELP roomline_messages_settled_total Messages settled
# TYPE roomline_messages_settled_total counter
roomline_messages_settled_total{outcome="acked",channel="demo"} 40
roomline_messages_settled_total{outcome="assumed",channel="demo"} 2
roomline_messages_settled_total{outcome="acked",channel="a \\"quoted\\", {braced} one"} 1.5e1
roomline_claims_total 57
`;

describe('metrics as text', () => {
  it('are summed over all samples that carry the labels', () => {
    const metrics = parseMetrics(TEXT);
    expect(metrics.samples).toHaveLength(4);
    expect(metrics.sum('roomline_claims_total')).toBe(57);
    expect(metrics.sum('roomline_messages_settled_total')).toBe(57);
    expect(metrics.sum('roomline_messages_settled_total', { outcome: 'acked' })).toBe(55);
    expect(metrics.sum('roomline_messages_settled_total', { outcome: 'acked', channel: 'demo' })).toBe(40);
    expect(metrics.sum('roomline_messages_settled_total', { outcome: 'failed' })).toBe(0);
  });
});
