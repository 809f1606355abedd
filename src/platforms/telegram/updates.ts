/** Updates of a bot: what users write and do. None of them says what became of a message of ours. */
import type { StatusItem } from '../../engine/ports.ts';
import { RoomlineError } from '../../errors.ts';
import { isFields, parseWebhookBody } from '../fields.ts';

/** Kinds of updates that are counted by their names; a name that we do not know must not become a label. */
const KINDS = [
  'message',
  'edited_message',
  'channel_post',
  'edited_channel_post',
  'business_connection',
  'business_message',
  'edited_business_message',
  'deleted_business_messages',
  'message_reaction',
  'message_reaction_count',
  'inline_query',
  'chosen_inline_result',
  'callback_query',
  'shipping_query',
  'pre_checkout_query',
  'purchased_paid_media',
  'poll',
  'poll_answer',
  'my_chat_member',
  'chat_member',
  'chat_join_request',
  'chat_boost',
  'removed_chat_boost',
] as const;

/** One call carries one update. @throws RoomlineError where nothing of it can be read */
export function readUpdates(raw: Uint8Array): StatusItem {
  const update = parseWebhookBody(raw);
  if (!isFields(update)) throw new RoomlineError('field_type', { field: 'body', rule: 'one JSON object' });
  if (!Number.isSafeInteger(update.update_id)) return { kind: 'unreadable', code: 'update_unnamed' };
  const kind = KINDS.find((name) => isFields(update[name]));
  return { kind: 'other', code: kind ?? 'update_unknown' };
}
