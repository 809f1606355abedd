-- How much waits in one partition of the buffer. KEYS[1] is its stream.
-- Returns how many entries there are, the first one's id ('' for none), how many dead letters, and by the names of
-- channels how many entries count for each.
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
local length, dead = redis.call('XLEN', KEYS[1]), redis.call('XLEN', KEYS[1] .. ':dead')
if length == 0 then
  return { 0, '', dead, {} }
end
return { length, first[1][1], dead, redis.call('HGETALL', KEYS[1] .. ':channels') }
