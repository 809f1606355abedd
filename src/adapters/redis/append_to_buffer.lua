-- Appends to one partition of the buffer: from the first entry on, as many as its bounds leave room for.
-- KEYS[1] is its stream. ARGV: a name for its history if it has none, the most entries, the most bytes, how many
-- partitions the caller knows of ('' for any); then for each entry its message, message id, request id and the name of the
-- channel that it counts for ('' for none).
-- Returns the ids of those that it took, and -1 where there is another number of partitions.
local layout = redis.call('GET', KEYS[1] .. ':layout')
if layout and ARGV[4] ~= '' and ARGV[4] ~= layout then
  return -1
end
local history = KEYS[1] .. ':history'
if redis.call('EXISTS', history) == 0 then
  redis.call('SET', history, ARGV[1])
end
local entries_left = tonumber(ARGV[2]) - redis.call('XLEN', KEYS[1])
local bytes_left = tonumber(ARGV[3]) - (redis.call('MEMORY', 'USAGE', KEYS[1]) or 0)
local taken, counts = {}, {}
for i = 5, #ARGV, 4 do
  bytes_left = bytes_left - #ARGV[i]
  if #taken >= entries_left or bytes_left < 0 then
    break
  end
  local entry = { 'message', ARGV[i], 'messageId', ARGV[i + 1] }
  if ARGV[i + 2] ~= '' then
    entry[5], entry[6] = 'requestId', ARGV[i + 2]
  end
  local channel = ARGV[i + 3]
  if channel ~= '' then
    entry[#entry + 1] = 'countsFor'
    entry[#entry + 1] = channel
    counts[channel] = (counts[channel] or 0) + 1
  end
  taken[#taken + 1] = redis.call('XADD', KEYS[1], '*', unpack(entry))
end
for channel, count in pairs(counts) do
  redis.call('HINCRBY', KEYS[1] .. ':channels', channel, count)
end
return taken
