import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, inject } from 'vitest';
import { RoomlineClient } from '../../../src/client/client.ts';
import { launchChromium, Tab, type TabOptions } from './browser.ts';
import type { ProvidedSystem } from './setup.ts';

/** What a test of the dashboard has: a running system, a browser, and the API to compare with. */
export interface Dashboard {
  readonly system: ProvidedSystem;
  readonly api: RoomlineClient;
  /** Opens a view, signed in; another server's where its address and key are given. */
  open(path: string, options?: TabOptions & { readonly url?: string; readonly key?: string }): Promise<Tab>;
  /** The same without signing in. */
  visit(path: string, options?: TabOptions & { readonly url?: string }): Promise<Tab>;
}

/**
 * A suite with real Chromium; where none is installed it has no tests, and the setup has said so. After each test every
 * page must be without complaints, and is closed.
 */
export function describeDashboard(name: string, suite: (dashboard: Dashboard) => void): void {
  const program = inject('chromiumProgram') as string | null | undefined;
  const system = inject('dashboardSystem') as ProvidedSystem | null | undefined;
  if (program === undefined || system === undefined)
    throw new Error('only files named *.browser.test.ts get a browser');
  const all = program === null || system === null ? [] : [{ program, system }];
  describe.each(all)(name, (given) => {
    let browser: Browser;
    const tabs: Tab[] = [];
    beforeAll(async () => {
      browser = await launchChromium(given.program);
    });
    afterEach(async () => {
      const opened = tabs.splice(0);
      const complaints = opened.flatMap((tab) => tab.complaints);
      await Promise.all(opened.map((tab) => tab.close()));
      expect(complaints).toEqual([]);
    });
    afterAll(() => browser?.close());

    const { url, key } = given.system;
    const visit: Dashboard['visit'] = async (path, options = {}) => {
      const tab = await Tab.open(browser, options.url ?? url, options);
      tabs.push(tab);
      await tab.page.goto(`${tab.origin}${path}`);
      return tab;
    };
    suite({
      system: given.system,
      api: new RoomlineClient({ url, key }),
      visit,
      open: async (path, options = {}) => {
        const tab = await visit(path, options);
        await tab.signIn(options.key ?? key);
        return tab;
      },
    });
  });
}
