/**
 * Why Telegram refuses, by error code and words: it has no finer codes than HTTP's. Every refusal here is definite. The
 * code that Roomline keeps is made of the number and a name of this table, or of Telegram's own constant where the
 * words are one; never of free words, which may hold what a log must not.
 */
import type { Nack } from '../../room/room.ts';

type Verdict = Omit<Nack, 'retryAfterMs'>;

interface Rule {
  readonly code: number;
  readonly words: RegExp;
  readonly scope: Nack['scope'];
  readonly permanent: boolean;
  readonly name: string;
}

const FOR_GOOD = true;
const FOR_NOW = false;

function rule(code: number, words: RegExp, scope: Nack['scope'], permanent: boolean, name: string): Rule {
  return { code, words, scope, permanent, name };
}

/** First match counts. */
export const RULES: readonly Rule[] = [
  // The end user, or the group, is out of reach for this bot.
  rule(403, /bot was blocked by the user/i, 'room', FOR_GOOD, 'bot_blocked'),
  rule(403, /user is deactivated/i, 'room', FOR_GOOD, 'user_deactivated'),
  rule(403, /bot can't initiate conversation/i, 'room', FOR_GOOD, 'not_started'),
  rule(403, /bot can't send messages to bots/i, 'room', FOR_GOOD, 'recipient_is_bot'),
  rule(403, /bot was kicked from/i, 'room', FOR_GOOD, 'bot_kicked'),
  rule(403, /bot is not a (?:member|participant) of/i, 'room', FOR_GOOD, 'not_a_member'),
  rule(403, /(?:group chat was deleted|the group is deleted)/i, 'room', FOR_GOOD, 'group_deleted'),
  rule(400, /chat not found/i, 'room', FOR_GOOD, 'chat_not_found'),
  rule(400, /user not found/i, 'room', FOR_GOOD, 'user_not_found'),
  rule(400, /chat_id is empty/i, 'room', FOR_GOOD, 'chat_id_empty'),
  rule(400, /PEER_ID_INVALID|USER_ID_INVALID|CHAT_ID_INVALID/, 'room', FOR_GOOD, 'peer_invalid'),
  rule(400, /USER_IS_BLOCKED|YOU_BLOCKED_USER/, 'room', FOR_GOOD, 'user_is_blocked'),
  rule(400, /INPUT_USER_DEACTIVATED/, 'room', FOR_GOOD, 'user_deactivated'),
  rule(400, /USER_IS_BOT/, 'room', FOR_GOOD, 'recipient_is_bot'),
  rule(400, /CHANNEL_PRIVATE|CHANNEL_INVALID/, 'room', FOR_GOOD, 'channel_private'),
  rule(400, /group (?:chat was|is) deactivated/i, 'room', FOR_GOOD, 'group_deactivated'),
  rule(400, /have no rights to send a message|need administrator rights/i, 'room', FOR_GOOD, 'no_rights'),
  rule(400, /CHAT_WRITE_FORBIDDEN|CHAT_ADMIN_REQUIRED|CHAT_RESTRICTED/, 'room', FOR_GOOD, 'no_rights'),
  rule(400, /CHAT_SEND_[A-Z]+_FORBIDDEN|not enough rights to send/i, 'message', FOR_GOOD, 'kind_not_allowed'),
  rule(400, /VOICE_MESSAGES_FORBIDDEN/, 'message', FOR_GOOD, 'voice_forbidden'),
  rule(400, /message thread not found|TOPIC_DELETED/i, 'message', FOR_GOOD, 'topic_not_found'),
  rule(400, /TOPIC_CLOSED/, 'message', FOR_GOOD, 'topic_closed'),

  // What was to be sent.
  rule(400, /message is too long|MESSAGE_TOO_LONG/i, 'message', FOR_GOOD, 'text_too_long'),
  rule(400, /caption is too long|MEDIA_CAPTION_TOO_LONG/i, 'message', FOR_GOOD, 'caption_too_long'),
  rule(400, /(?:message )?text (?:is |must be non-)empty|MESSAGE_EMPTY/i, 'message', FOR_GOOD, 'text_empty'),
  rule(400, /can't parse entities|ENTITY_/i, 'message', FOR_GOOD, 'markup_invalid'),
  rule(400, /reply markup|REPLY_MARKUP|inline keyboard|BUTTON_/i, 'message', FOR_GOOD, 'reply_markup_invalid'),
  rule(
    400,
    /(?:message to be replied|message to reply|replied message) not found/i,
    'message',
    FOR_GOOD,
    'reply_to_gone',
  ),
  rule(400, /failed to get HTTP URL content|WEBPAGE_CURL_FAILED/i, 'message', FOR_NOW, 'file_not_fetched'),
  rule(400, /wrong type of the web ?page content|WEBPAGE_MEDIA_EMPTY/i, 'message', FOR_GOOD, 'file_wrong_type'),
  rule(
    400,
    /wrong (?:remote )?file (?:id|identifier)|invalid file(?:_| )id|FILE_ID_INVALID/i,
    'message',
    FOR_GOOD,
    'file_id_invalid',
  ),
  rule(400, /FILE_REFERENCE_|file is temporarily unavailable/i, 'message', FOR_NOW, 'file_unavailable'),
  rule(400, /file is too big/i, 'message', FOR_GOOD, 'file_too_big'),
  rule(400, /PHOTO_|IMAGE_PROCESS_FAILED/, 'message', FOR_GOOD, 'photo_invalid'),
  rule(400, /STICKER_/, 'message', FOR_GOOD, 'sticker_invalid'),
  rule(400, /PHONE_NUMBER_INVALID/, 'message', FOR_GOOD, 'phone_number_invalid'),

  // The bot itself: rooms wait, and nothing fails.
  rule(400, /logged out/i, 'channel', FOR_GOOD, 'logged_out'),
  rule(404, /method not found/i, 'message', FOR_GOOD, 'method_unknown'),
];

/** By number alone. Where there is no description, it was not the Bot API that answered. */
const BY_CODE: Readonly<Record<number, Omit<Verdict, 'code'>>> = {
  400: { permanent: true, scope: 'message' },
  401: { permanent: true, scope: 'channel' },
  403: { permanent: true, scope: 'room' },
  404: { permanent: true, scope: 'channel' },
  405: { permanent: true, scope: 'message' },
  409: { permanent: false, scope: 'channel' },
  410: { permanent: true, scope: 'channel' },
  411: { permanent: true, scope: 'message' },
  413: { permanent: true, scope: 'message' },
  414: { permanent: true, scope: 'message' },
  415: { permanent: true, scope: 'message' },
  421: { permanent: true, scope: 'channel' },
  422: { permanent: true, scope: 'message' },
};

/** Said by something between us and Telegram: a proxy's 400 or 403 must fail no message. */
const BARE: Readonly<Record<number, Omit<Verdict, 'code'>>> = {
  400: { permanent: false, scope: 'message' },
  403: { permanent: true, scope: 'channel' },
};

const OTHERWISE = { permanent: false, scope: 'message' } as const;

/** @param description Telegram's words, or null where there were none */
export function judgeRefusal(code: number, description: string | null): Verdict {
  if (description === null) return { ...(BARE[code] ?? BY_CODE[code] ?? OTHERWISE), code: `http_${code}` };
  const found = RULES.find((one) => one.code === code && one.words.test(description));
  if (found !== undefined) return { permanent: found.permanent, scope: found.scope, code: `${code}_${found.name}` };
  const constant = /(?:^|: )([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)$/.exec(description)?.[1];
  const named = constant !== undefined && constant.length <= 60 ? `${code}_${constant}` : String(code);
  return { ...(BY_CODE[code] ?? OTHERWISE), code: named };
}
