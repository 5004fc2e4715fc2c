-- Reads requests. Changes nothing.
--
-- KEYS[1]   the record of the partition (see state.lua, whose keys and records these are)
-- ARGV      namespace/name of each
-- Returns   msgpack array: { epoch, requests }, a request being { doc, status, placement, state } with the state
--           { "i", fingerprint, incident } | { "s", facts, course, resources } | what lies in `c`, and false for one
--           that does not exist or is held

local call, pack, unpack = redis.call, cmsgpack.pack, cmsgpack.unpack
local BASE = string.sub(KEYS[1], 1, -2)

local function state_of(ref, doc)
  local number = call('HGET', BASE .. 's', 'r' .. ref)
  if number then
    local raw = call('HMGET', BASE .. 's', number .. 'f', number .. 'c')
    if unpack(raw[2])[13] ~= 0 then
      return false
    end
    return { 's', raw[1], raw[2], call('HGETALL', BASE .. 'a:' .. number) }
  end
  local fingerprint = unpack(doc)[1]
  local raw = call('HGET', BASE .. 'i', fingerprint)
  if raw then
    local row = unpack(raw)
    if string.format('%d', row[14]) == string.match(ref, '%-(%d+)$') and row[15] == 0 then
      return row[11] == 0 and { 'i', fingerprint, raw }
    end
  end
  local closed = call('HGET', BASE .. 'c', ref)
  return closed and unpack(closed)
end

local found = {}
for at, ref in ipairs(ARGV) do
  local doc = call('HGET', BASE .. 'd', ref)
  local state = doc and state_of(ref, doc)
  found[at] = state and { doc, call('HGET', BASE .. 't', ref) or '', call('HGET', BASE .. 'k', ref) or '', state } or false
end
local record = call('GET', KEYS[1])
return pack({ record and unpack(record)[3] or 0, found })
