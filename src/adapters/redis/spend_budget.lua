-- Takes from a limit that may be owed: the generic cell rate algorithm on this server's own clock, in microseconds.
-- KEYS[1] holds "<debt> <time>": what was not paid back at that time. It disappears when all is paid.
-- ARGV: tokens per second, burst, cost.
-- Returns in how many ms it may be asked again, 0 where the cost was taken, and the debt as text.
local per_second, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
-- A billionth of a token, against what sums of fractions lose.
local EPSILON = 1e-9

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local debt = 0
local had, at = string.match(redis.call('GET', KEYS[1]) or '', '^([%d.e+-]+) (%d+)$')
if had then
  -- Clocks are set back, too: then nothing is paid back, and nothing is lost.
  local elapsed = math.max(0, now - tonumber(at))
  debt = math.max(0, (tonumber(had) or 0) - elapsed * per_second / 1000000)
end

local wait_ms = 0
if debt + 1 - burst > EPSILON then
  wait_ms = math.ceil((debt + 1 - burst) * 1000 / per_second)
else
  debt = debt + cost
end
local paid_in_ms = math.ceil(debt * 1000 / per_second)
redis.call('SET', KEYS[1], string.format('%.17g %.0f', debt, now), 'PX', paid_in_ms + 1)
return { wait_ms, string.format('%.17g', debt) }
