-- Notes where a request exists outside the state store, and since which change.
--
-- KEYS[1]   the record of the partition (see state.lua)
-- ARGV[1]   msgpack map: now (ms), replica, lease (ms), channel, policy, asked = ref (namespace/name), namespace, name, uid,
--           sequence (number of the change that was written)
-- Returns   msgpack array: { due (ms, 0 for nothing) }
-- Errors    SEAWALL SUPERSEDED  a newer format: nothing was changed
-- Atomic    one step
-- Again     harmless, and a note of an earlier change than the known one changes nothing: it never goes backwards

local input = unpack(ARGV[1])
local asked = input.asked
NOW, POLICY = input.now, input.policy

if not load_partition() then
  return redis.error_reply('SEAWALL SUPERSEDED a newer version of Seawall has taken over this partition')
end

-- The change that a request is at; nil when it does not exist any more.
local function newest_change(ref)
  local number = call('HGET', BASE .. 's', 'r' .. ref)
  local storm = number and storm_of(tonumber(number))
  if storm then
    return storm.sequence
  end
  local doc = call('HGET', BASE .. 'd', ref)
  local row = doc and incident(unpack(doc)[1])
  if row and own_ref(row) == ref and not is_member(row) then
    return row.sequence
  end
  local state = call('HGET', BASE .. 'c', ref)
  local a = state and unpack(state)
  return a and unpack(a[3])[a[1] == 'i' and 12 or 14]
end

local known = placement_of(asked.ref)
local newest = newest_change(asked.ref)
if not newest or (known and known.deleted) then
  call('ZREM', BASE .. 'y', asked.ref)
elseif not known or known.sequence <= asked.sequence then
  save_placement(asked.ref, {
    namespace = asked.namespace, name = asked.name, uid = asked.uid, sequence = asked.sequence, deleted = false,
  })
  if newest <= asked.sequence then
    call('ZREM', BASE .. 'y', asked.ref)
  end
  save_partition()
  call('PUBLISH', input.channel, 'P 0 ' .. asked.ref)
end
return pack({ due })
