/** What commands print, for people and for programs. */
import type { Command } from 'commander';

export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** For commands that print nothing else: `--json` is the same everywhere, so that nobody has to remember where it is not. */
export function jsonAnyway(command: Command): Command {
  return command.option('--json', 'what is printed anyway');
}

/** Columns of one width each; the last one as it is. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
  return lines.map((line) => `${line.trimEnd()}\n`).join('');
}
