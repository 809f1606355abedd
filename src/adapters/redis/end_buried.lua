-- Takes entries out of the dead letters of one partition of the buffer; 'replay' appends them to its stream again.
-- KEYS[1] is the partition's stream. ARGV: 'replay' or 'discard', then the ids of the dead letters.
-- Returns how many of them there were.
local dead = KEYS[1] .. ':dead'
local ended = 0
for i = 2, #ARGV do
  local found = redis.call('XRANGE', dead, ARGV[i], ARGV[i])
  if #found == 1 then
    if ARGV[1] == 'replay' then
      redis.call('XADD', KEYS[1], '*', unpack(found[1][2], 5))
      for field = 5, #found[1][2], 2 do
        if found[1][2][field] == 'countsFor' then
          redis.call('HINCRBY', KEYS[1] .. ':channels', found[1][2][field + 1], 1)
        end
      end
    end
    redis.call('XDEL', dead, ARGV[i])
    redis.call('HDEL', KEYS[1] .. ':letters', found[1][2][2])
    ended = ended + 1
  end
end
return ended
