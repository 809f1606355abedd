/**
 * Pages of the dashboard in real Chromium, watched from their first byte: what a page of ours may never do (an error on
 * the console, a request to elsewhere, a breach of its own content security policy) is a complaint, and complaints fail
 * the test.
 */
import axe, { type AxeResults } from 'axe-core';
import { type Browser, type BrowserContext, type CDPSession, chromium, type Page } from 'playwright-core';
import { eventually } from '../../support/events.ts';

export type Theme = 'light' | 'dark';

/** Sizes of screens, in CSS pixels. */
export const LAPTOP = { width: 1280, height: 800 } as const;
export const PHONE = { width: 390, height: 844 } as const;

export interface TabOptions {
  readonly theme?: Theme;
  readonly size?: { readonly width: number; readonly height: number };
  /** Pixels of the screen for one of CSS. */
  readonly scale?: number;
  /** As an operating system says it to pages; true by default, so that nothing moves while a test looks. */
  readonly reducedMotion?: boolean;
}

export interface LongTasks {
  readonly count: number;
  readonly longestMs: number;
  readonly totalMs: number;
}

/** The longest that a view may take to show what a test waits for, on a machine that is busy with other tests. */
const PATIENCE_MS = 20_000;

/** As the user of a container Chromium has no namespaces for a sandbox; it only ever sees our own pages. */
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-dev-shm-usage',
  '--font-render-hinting=none',
  '--enable-precise-memory-info',
];

/** Runs in every page before its own scripts. Long tasks are kept as they come, for a page can only tell of those it saw. */
const WATCH = `
  addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) => {
    console.error('content security policy: ' + effectiveDirective + ' refuses ' + blockedURI);
  });
  globalThis.longTasks = [];
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) globalThis.longTasks.push(duration);
  }).observe({ type: 'longtask', buffered: true });
`;

/** @throws Error where it does not start */
export function launchChromium(program: string): Promise<Browser> {
  return chromium.launch({ executablePath: program, args: ARGUMENTS });
}

/** A tab of its own profile, with the dashboard of one server. */
export class Tab {
  readonly page: Page;
  /** Where the dashboard is, without a slash at the end. */
  readonly origin: string;
  readonly #context: BrowserContext;
  readonly #complaints: string[] = [];
  readonly #requests: string[] = [];
  #allowed: RegExp[] = [];

  private constructor(context: BrowserContext, page: Page, origin: string) {
    this.#context = context;
    this.page = page;
    this.origin = origin;
    page.on('pageerror', (error) => this.#complain(`uncaught: ${error.message}`));
    page.on('console', (message) => {
      const type = message.type();
      if (type === 'error' || type === 'warning') {
        this.#complain(`console.${type}: ${message.text()} ${message.location().url}`.trimEnd());
      }
    });
    page.on('request', (request) => this.#asked(request.url()));
    page.on('websocket', (socket) => this.#asked(socket.url().replace(/^ws/, 'http')));
  }

  static async open(browser: Browser, origin: string, options: TabOptions = {}): Promise<Tab> {
    const { theme = 'light', size = LAPTOP, scale = 1, reducedMotion = true } = options;
    const context = await browser.newContext({
      colorScheme: theme,
      viewport: size,
      deviceScaleFactor: scale,
      reducedMotion: reducedMotion ? 'reduce' : 'no-preference',
      hasTouch: size.width < 600,
      locale: 'en-GB',
      timezoneId: 'UTC',
      // What is not the page itself would keep requests from being seen.
      serviceWorkers: 'block',
    });
    context.setDefaultTimeout(PATIENCE_MS);
    await context.addInitScript(WATCH);
    return new Tab(context, await context.newPage(), origin);
  }

  /** Goes to a place of the dashboard and signs in where that is asked for. */
  async enter(path: string, key: string): Promise<void> {
    await this.page.goto(`${this.origin}${path}`);
    await this.signIn(key);
  }

  async signIn(key: string): Promise<void> {
    await this.page.getByLabel('API key').fill(key);
    await this.page.getByRole('button', { name: 'Sign in' }).click();
    await this.page.getByRole('navigation', { name: 'Views' }).waitFor();
  }

  /** Resolves when the view is there, and nothing of it is still asked for. */
  async loaded(): Promise<void> {
    await this.page.getByRole('heading', { level: 1 }).waitFor();
    // No event tells of it: a part that has come may ask for another one.
    await eventually('everything is there', async () => (await this.page.locator('.spinner').count()) === 0, {
      deadlineMs: PATIENCE_MS,
      everyMs: 20,
    });
  }

  /** Follows a link within the page, as the navigation does; nothing is loaded anew. */
  async go(view: string): Promise<void> {
    await this.page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: view, exact: true }).click();
    await this.page.getByRole('heading', { level: 1, name: view }).waitFor();
  }

  /** From now on such a complaint is what the test is about. */
  allow(pattern: RegExp): void {
    this.#allowed.push(pattern);
  }

  get complaints(): readonly string[] {
    return this.#complaints.filter((complaint) => !this.#allowed.some((pattern) => pattern.test(complaint)));
  }

  /** Every address that was asked for. */
  get requests(): readonly string[] {
    return this.#requests;
  }

  /** What axe finds on the page as it is, a line for each element. */
  async accessibility(): Promise<string[]> {
    // Evaluated by the debugger, for the page's policy rightly takes no script from elsewhere.
    await this.page.evaluate(axe.source);
    await this.page.evaluate(`axe.configure(${JSON.stringify(AXE_EXCEPTIONS)})`);
    const { violations } = await this.page.evaluate<AxeResults>(
      `axe.run(document, { resultTypes: ['violations'], runOnly: ${JSON.stringify(AXE_TAGS)} })`,
    );
    return violations.flatMap(({ id, help, nodes }) =>
      nodes.map(({ target, any }) => `${id}: ${help}: ${target.join(' ')} ${any[0]?.message ?? ''}`.trimEnd()),
    );
  }

  /** How far the page is wider than the screen, in pixels: then a phone would scroll sideways. */
  overhang(): Promise<number> {
    return this.page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
  }

  /** Tasks of more than 50 ms since the last time that was asked. */
  async longTasks(): Promise<LongTasks> {
    const tasks = await this.page.evaluate<number[]>('globalThis.longTasks.splice(0)');
    return {
      count: tasks.length,
      longestMs: Math.round(Math.max(0, ...tasks)),
      totalMs: Math.round(tasks.reduce((sum, each) => sum + each, 0)),
    };
  }

  /** What the page's script holds after a collection, in bytes. */
  async heapBytes(): Promise<number> {
    const session: CDPSession = await this.#context.newCDPSession(this.page);
    try {
      await session.send('HeapProfiler.collectGarbage');
      const { usedSize } = await session.send('Runtime.getHeapUsage');
      return usedSize;
    } finally {
      await session.detach();
    }
  }

  /** Frames drawn in so long, and the longest time between two. */
  frames(forMs: number): Promise<{ readonly count: number; readonly longestMs: number }> {
    return this.page.evaluate(`new Promise((resolve) => {
      const from = performance.now();
      let [count, last, longestMs] = [0, from, 0];
      const frame = (now) => {
        longestMs = Math.max(longestMs, now - last);
        last = now;
        count++;
        if (now - from < ${forMs}) requestAnimationFrame(frame);
        else resolve({ count, longestMs: Math.round(longestMs) });
      };
      requestAnimationFrame(frame);
    })`);
  }

  /** What has the keyboard: its role or tag, and its name. */
  focused(): Promise<string> {
    return this.page.evaluate<string>(`(() => {
      const { activeElement: element } = document;
      const name = element.getAttribute('aria-label') ?? element.textContent ?? '';
      return (element.getAttribute('role') ?? element.localName) + ' ' + name.trim();
    })()`);
  }

  async close(): Promise<void> {
    await this.#context.close();
  }

  #asked(url: string): void {
    this.#requests.push(url);
    const own = url.startsWith(`${this.origin}/`) || url.startsWith('data:') || url.startsWith('blob:');
    if (!own) this.#complain(`asks elsewhere: ${url}`);
  }

  #complain(what: string): void {
    this.#complaints.push(what);
  }
}

/** WCAG 2.2 AA, and what axe calls good practice. */
const AXE_TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** The stages of the pipeline are links in a picture: their names say in full what the picture abbreviates. */
const AXE_EXCEPTIONS = {
  rules: [{ id: 'label-content-name-mismatch', selector: 'a[href]:not(svg *), button, summary' }],
};
