/** An alert on a metric that does not exist never fires. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createMetrics } from '../../src/telemetry.ts';

const text = readFileSync(new URL('../../deploy/alerts.yml', import.meta.url), 'utf8');
const rules = text.split(/^ {6}- alert: /m).slice(1);

/** Names as they are scraped, with the labels of each. */
async function scraped(): Promise<Map<string, readonly string[]>> {
  const { registry } = createMetrics({ version: 'test' });
  const names = new Map<string, readonly string[]>();
  for (const { name, type } of await registry.getMetricsAsJSON()) {
    const { labelNames } = registry.getSingleMetric(name) as unknown as { labelNames: readonly string[] };
    names.set(name, labelNames);
    if (String(type) !== 'histogram') continue;
    for (const suffix of ['bucket', 'sum', 'count']) names.set(`${name}_${suffix}`, [...labelNames, 'le']);
  }
  return names;
}

describe('every alert', () => {
  it('asks for metrics that there are, by labels that they have', async () => {
    const names = await scraped();
    const asked = rules.flatMap((rule) => [...rule.matchAll(/(roomline_\w+)(?:\{([^}]*)\})?/g)]);
    expect(asked.length).toBeGreaterThanOrEqual(rules.length);
    for (const [, name = '', selector = ''] of asked) {
      expect([...names.keys()]).toContain(name);
      const labels = [...selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label);
      for (const label of labels) expect(names.get(name), `${name}{${label}}`).toContain(label);
    }
  });

  it('has a name of its own, an urgency, and says what it means and what to do', () => {
    const titles = rules.map((rule) => rule.slice(0, rule.indexOf('\n')));
    expect(rules.length).toBeGreaterThan(10);
    expect(new Set(titles).size).toBe(titles.length);
    for (const rule of rules) {
      expect(rule).toMatch(/^Roomline\w+\n {8}expr: \S/);
      expect(rule).toMatch(/labels: \{ severity: (page|ticket) \}/);
      expect(rule).toMatch(/\n {10}summary: \S.*\n {10}action: \S/);
    }
  });
});
