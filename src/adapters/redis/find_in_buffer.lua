-- Finds one entry of a partition of the buffer. One that was put aside may be in the stream for a while yet.
-- KEYS[1] is its stream. ARGV: the entry's id, the most bytes of its message.
-- Returns nothing where it is not there, else: why it was put aside ('' where it waits), its message, its bytes (-1 where
-- it has none), its message id, its request id.
local letter = redis.call('HGET', KEYS[1] .. ':letters', ARGV[1])
local found, reason, first = {}, '', 1
if letter then
  found = redis.call('XRANGE', KEYS[1] .. ':dead', letter, letter)
end
if #found == 1 then
  -- What precedes: entry, its id, reason, and this.
  reason, first = found[1][2][4], 5
else
  found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])
end
if #found == 0 then
  return {}
end
local fields = { message = false, messageId = false, requestId = false }
for i = first, #found[1][2], 2 do
  -- The first of a name counts.
  if fields[found[1][2][i]] == false then
    fields[found[1][2][i]] = found[1][2][i + 1]
  end
end
local size = fields.message and #fields.message or -1
if size > tonumber(ARGV[2]) then
  fields.message = false
end
-- Longer than any id may be, so that a longer one is refused.
local MOST_OF_ID = 1024
local function bounded(id)
  return id and string.sub(id, 1, MOST_OF_ID)
end
return { reason, fields.message, size, bounded(fields.messageId), bounded(fields.requestId) }
