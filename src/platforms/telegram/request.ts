/** From a stored message to the call of a bot method. */
import { RoomlineError } from '../../errors.ts';
import { type Fields, isFields } from '../fields.ts';
import { checkContent, DEFAULT_METHOD } from './content.ts';

export interface BotRequest {
  readonly method: string;
  readonly chatId: string;
  /** Everything but `chat_id`, as the publisher gave it. */
  readonly parameters: Fields;
}

const decoder = new TextDecoder('utf-8', { fatal: true });

/** Null where the stored body breaks a rule that holds now. */
export function readRequest(body: Uint8Array): BotRequest | null {
  const stored = parse(body);
  if (!isFields(stored) || typeof stored.to !== 'string' || !isFields(stored.content)) return null;
  try {
    checkContent(stored.to, stored.content);
  } catch (error) {
    if (error instanceof RoomlineError) return null;
    throw error;
  }
  const { method = DEFAULT_METHOD, ...parameters } = stored.content;
  return { method: String(method), chatId: stored.to, parameters };
}

function parse(body: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(body));
  } catch {
    // Neither UTF-8 nor JSON: intake never stored it like that.
    return null;
  }
}
