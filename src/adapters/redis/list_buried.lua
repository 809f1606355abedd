-- Lists the dead letters of one partition of the buffer without their messages.
-- KEYS[1] is the partition's stream. ARGV: the id after which is listed, how many at most.
-- Returns for each: its id, the entry's id, why it is buried, the bytes of its message.
local letters = {}
for _, letter in ipairs(redis.call('XRANGE', KEYS[1] .. ':dead', '(' .. ARGV[1], '+', 'COUNT', ARGV[2])) do
  local bytes = 0
  for i = 5, #letter[2], 2 do
    if letter[2][i] == 'message' then
      bytes = #letter[2][i + 1]
    end
  end
  letters[#letters + 1] = { letter[1], letter[2][2], letter[2][4], bytes }
end
return letters
