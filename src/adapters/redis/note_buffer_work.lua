-- What came of the work on the entries of one partition that follow ARGV[1]: ARGV[2] is added to how often it failed.
-- KEYS[1] is the partition's stream.
-- Where Redis is full it refuses a script that begins with what needs memory: this removes nothing, and needs none.
redis.call('XTRIM', KEYS[1], 'MINID', '0')
local work = KEYS[1] .. ':work'
if redis.call('HGET', work, 'after') == ARGV[1] then
  redis.call('HINCRBY', work, 'tries', ARGV[2])
  redis.call('HSET', work, 'open', 0)
end
return 0
