-- Takes tokens of one limit: the generic cell rate algorithm on this server's own clock, in microseconds.
-- KEYS[1] holds "<debt> <time>": how many requests were not paid back at that time. It disappears when all is paid.
-- ARGV: requests per second, burst, how many tokens are wanted.
-- Returns how many it gives, and in how many ms there will be the next one.
local per_second, burst, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
-- A billionth of a token, against what sums of fractions lose.
local EPSILON = 1e-9

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local debt = 0
local had, at = string.match(redis.call('GET', KEYS[1]) or '', '^([%d.e+-]+) (%d+)$')
if had then
  -- Clocks are set back, too: then nothing is paid back, and nothing is lost.
  local elapsed = math.max(0, now - tonumber(at))
  local paid = elapsed * per_second / 1000000
  -- Debt is counted in requests, not in time, and never exceeds the burst: so a changed limit holds from here on.
  debt = math.min(burst, math.max(0, (tonumber(had) or 0) - paid))
end

local granted = math.min(want, math.floor(burst - debt + EPSILON))
debt = debt + granted
local paid_in_ms = math.ceil(debt * 1000 / per_second)
redis.call('SET', KEYS[1], string.format('%.17g %.0f', debt, now), 'PX', paid_in_ms + 1)

local lacking = math.max(0, debt + 1 - burst - EPSILON)
return { granted, math.ceil(lacking * 1000 / per_second) }
