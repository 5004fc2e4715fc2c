-- Takes one from a limit (GCRA, the generic cell rate algorithm).
--
-- KEYS[1]   when the last one that was taken is used up (microseconds)
-- ARGV      time between two (microseconds), how many may come at once
-- Returns   0 when it was taken, else how long to wait (microseconds)
-- Atomic    one step: exact for any number of replicas
-- Again     takes another one; a call whose answer was lost counts twice, which errs on the side of less
--
-- The time is the server's, because it has to be the same for all replicas.

local between, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local used_up = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local wait = used_up - (burst - 1) * between - now
if wait > 0 then
  return wait
end
used_up = used_up + between
redis.call('SET', KEYS[1], string.format('%.0f', used_up), 'PX', math.ceil((used_up - now) / 1000))
return 0
