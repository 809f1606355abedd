-- Copies an entry of one partition of the buffer to its stream of dead letters, once, and notes where it is there.
-- KEYS[1] is the partition's stream. ARGV: the entry's id, why it is buried.
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])
if #found == 0 or redis.call('HGET', KEYS[1] .. ':work', 'buried') == ARGV[1] then
  return 0
end
-- Where Redis is full it refuses a script that begins with what needs memory: this removes nothing, and needs none.
redis.call('XTRIM', KEYS[1], 'MINID', '0')
local letter = { 'entry', ARGV[1], 'reason', ARGV[2] }
local known = { message = true, messageId = true, requestId = true, countsFor = true }
for i = 1, #found[1][2], 2 do
  -- A name may come again: each is kept once, so that the copy is of a bounded number of fields.
  if known[found[1][2][i]] then
    known[found[1][2][i]] = false
    letter[#letter + 1] = found[1][2][i]
    letter[#letter + 1] = found[1][2][i + 1]
  end
end
redis.call('HSET', KEYS[1] .. ':letters', ARGV[1], redis.call('XADD', KEYS[1] .. ':dead', '*', unpack(letter)))
redis.call('HSET', KEYS[1] .. ':work', 'buried', ARGV[1])
return 1
