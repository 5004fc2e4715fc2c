-- Counts what is in a partition, for people. Changes nothing.
--
-- KEYS[1]   the record of the partition (see state.lua)
-- Returns   msgpack array: { incidents, requests open in the sink, held requests, until when the first of them is held (ms, 0
--           for none), rules of the open storms }

local call, pack, unpack = redis.call, cmsgpack.pack, cmsgpack.unpack
local BASE = string.sub(KEYS[1], 1, -2)

local record = call('GET', KEYS[1])
if not record then
  return pack({ 0, 0, 0, 0, {} })
end
local part = unpack(record)
local incidents, storms = call('HLEN', BASE .. 'i'), call('HLEN', BASE .. 's') / 3
local rules = {}
for _, number in ipairs(call('HVALS', BASE .. 'g')) do
  local facts = call('HGET', BASE .. 's', number .. 'f')
  if facts then
    rules[#rules + 1] = unpack(facts)[3]
  end
end
local hold = call('ZRANGE', BASE .. 'h', 0, 0, 'WITHSCORES')
local open = math.max(0, incidents - part[8] + storms - part[7])
return pack({ incidents, open, part[7], tonumber(hold[2] or 0), rules })
