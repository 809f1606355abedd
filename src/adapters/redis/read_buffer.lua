-- Reads on in one partition of the buffer, and removes what is done with.
-- KEYS[1] is its stream. ARGV: a name for its history if it has none; the history that is expected, '' for any; the id
-- after which is read; the first id that is kept; the last one that is read, '+' for all; the most entries; the most
-- bytes of messages; the most bytes of one message; who reads ('' for nobody in particular), its term, and 1 where that
-- is known to be the latest.
-- Returns the history; with it 'overtaken' where somebody has read in a later term, or 'went_back' where the last id that
-- there ever was comes before the cursor; where the history is the expected one and neither holds: how many entries there
-- are, how often this work has failed, the entry that was buried last ('' for none), and the entries.
local history = redis.call('GET', KEYS[1] .. ':history')
if not history then
  history = ARGV[1]
  redis.call('SET', KEYS[1] .. ':history', history)
end
if ARGV[2] ~= '' and ARGV[2] ~= history then
  return { history }
end
local after, most_bytes, most_bytes_each = ARGV[3], tonumber(ARGV[7]), tonumber(ARGV[8])
local work = redis.call('HMGET', KEYS[1] .. ':work', 'after', 'tries', 'open', 'reader', 'term', 'buried')
local reader, term = ARGV[9], ARGV[10]
if reader ~= '' and ARGV[2] ~= '' and ARGV[11] ~= '1' and tonumber(term) < tonumber(work[5] or 0) then
  return { history, 'overtaken' }
end

-- Work that another consumer began and never ended counts like work that failed: what is in it may have ended that one.
-- Whoever reads again what it has read itself lives; the answer was lost.
local tries = 0
if work[1] == after then
  tries = tonumber(work[2])
  if reader == '' or work[4] ~= reader then
    tries = tries + tonumber(work[3])
  end
end
local most = math.max(1, math.floor(tonumber(ARGV[6]) / 8 ^ tries))

local CHUNK = 16
-- Longer than any id may be, so that a longer one is refused.
local MOST_OF_ID = 1024
local function bounded(id)
  return id and string.sub(id, 1, MOST_OF_ID)
end

local entries, bytes, from, full = {}, 0, after, false
while not full and #entries < most do
  local found = redis.call('XRANGE', KEYS[1], '(' .. from, ARGV[5], 'COUNT', math.min(CHUNK, most - #entries))
  for _, entry in ipairs(found) do
    local fields = { message = false, messageId = false, requestId = false }
    for i = 1, #entry[2], 2 do
      -- The first of a name counts.
      if fields[entry[2][i]] == false then
        fields[entry[2][i]] = entry[2][i + 1]
      end
    end
    local size = fields.message and #fields.message or -1
    if size > most_bytes_each then
      fields.message = false
    end
    bytes = bytes + (fields.message and size or 0)
    if bytes > most_bytes and #entries > 0 then
      full = true
      break
    end
    from = entry[1]
    entries[#entries + 1] = { entry[1], fields.message, size, bounded(fields.messageId), bounded(fields.requestId) }
  end
  full = full or #found < CHUNK
end

-- An id is compared by its digits: its parts may have 64 bits.
local function precedes(one, other)
  local ms, number = string.match(one, '^(%d+)%-(%d+)$')
  local other_ms, other_number = string.match(other, '^(%d+)%-(%d+)$')
  if ms == other_ms then
    ms, other_ms = number, other_number
  end
  if #ms ~= #other_ms then
    return #ms < #other_ms
  end
  return ms < other_ms
end

-- What follows the cursor shows that the stream has not gone back; where nothing was found, its last id does.
local cursor = ARGV[5] == '+' and after or ARGV[5]
if ARGV[2] ~= '' and (#entries == 0 or ARGV[5] ~= '+') then
  local last = '0-0'
  if redis.call('EXISTS', KEYS[1]) == 1 then
    local info = redis.call('XINFO', 'STREAM', KEYS[1])
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then
        last = info[i + 1]
      end
    end
  end
  if precedes(last, cursor) then
    return { history, 'went_back' }
  end
end

-- What is removed counts for its channel no more.
local removed, kept = {}, '(' .. ARGV[4]
from = '-'
repeat
  local found = redis.call('XRANGE', KEYS[1], from, kept, 'COUNT', CHUNK)
  for _, entry in ipairs(found) do
    from = '(' .. entry[1]
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'countsFor' then
        removed[entry[2][i + 1]] = (removed[entry[2][i + 1]] or 0) + 1
        break
      end
    end
  end
until #found < CHUNK

-- First of all that writes, since it needs no memory.
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[4])
local length, channels = redis.call('XLEN', KEYS[1]), KEYS[1] .. ':channels'
if length == 0 then
  redis.call('DEL', channels)
else
  for channel, count in pairs(removed) do
    if redis.call('HINCRBY', channels, channel, -count) <= 0 then
      redis.call('HDEL', channels, channel)
    end
  end
end
if reader ~= '' and work[5] ~= term then
  redis.call('HSET', KEYS[1] .. ':work', 'term', term)
end
if #entries > 0 then
  redis.call('HSET', KEYS[1] .. ':work', 'after', after, 'tries', tries, 'open', 1, 'reader', reader)
end
return { history, length, tries, work[6] or '', entries }
