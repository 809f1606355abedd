/** Bodies and addresses of webhook calls. */

const decoder = new TextDecoder('utf-8', { fatal: true });

/** The pairs of a form; null where the bytes are no text. */
export function readForm(raw: Uint8Array): URLSearchParams | null {
  try {
    return new URLSearchParams(decoder.decode(raw));
  } catch {
    return null;
  }
}

/** The query of a request's target as it came, with its question mark; empty where there is none. */
export function queryOf(target: string): string {
  const at = target.indexOf('?');
  return at < 0 ? '' : target.slice(at);
}
