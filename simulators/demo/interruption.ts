/** Ctrl-C, a plain kill, a closed terminal: the first one asks for an end in good order. */
const SAME_KEY_PRESS_MS = 1_000;

/**
 * Listens for them from now on. A second one ends the process at once, and its children with it; but not one that
 * comes right after the first, since npm passes on what the terminal has sent to us as well.
 */
export function onInterruption(end: (reason: Error) => void): void {
  let firstAt: number | null = null;
  const handle = (signal: NodeJS.Signals): void => {
    if (firstAt === null) {
      firstAt = performance.now();
      end(new Error(`interrupted by ${signal}`));
    } else if (performance.now() - firstAt > SAME_KEY_PRESS_MS) process.exit(130);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, handle);
}
