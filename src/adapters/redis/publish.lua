-- Publishes pairs of channel and message, all in one step. Every channel begins with KEYS[1].
for i = 1, #ARGV, 2 do
  redis.call('PUBLISH', KEYS[1] .. ARGV[i], ARGV[i + 1])
end
return 0
