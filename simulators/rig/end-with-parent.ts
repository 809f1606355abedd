/**
 * Loaded into a child before its own code (`--import`): ends the child when the process that started it is gone. The
 * parent holds the other end of our standard input for as long as it lives, however it ends.
 */
const GRACE_MS = 10_000;

// What a child writes holds messages, and is for this user alone.
process.umask(0o077);

process.stdin.once('end', end);
process.stdin.once('error', end);
process.stdin.resume();
// It must not keep a child alive that has ended its work.
(process.stdin as unknown as { unref?: () => void }).unref?.();

function end(): void {
  process.kill(process.pid, 'SIGTERM');
  setTimeout(() => process.exit(1), GRACE_MS).unref();
}
