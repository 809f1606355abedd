-- Notes beside one partition of the buffer how many partitions there are. KEYS[1] is its stream. ARGV: how many; 'change'
-- to change what is noted, which is refused while anything waits in it or is buried, and anything else to note it only
-- where nothing is noted. Returns 1 where that is what is noted now.
local layout = KEYS[1] .. ':layout'
local noted = redis.call('GET', layout)
if noted == ARGV[1] then
  return 1
end
if noted and ARGV[2] ~= 'change' then
  return 0
end
if ARGV[2] == 'change' and redis.call('XLEN', KEYS[1]) + redis.call('XLEN', KEYS[1] .. ':dead') > 0 then
  return 0
end
redis.call('SET', layout, ARGV[1])
return 1
