-- Takes over what a worker reports about a request.
--
-- KEYS[1]   the record of the partition (see state.lua)
-- ARGV[1]   msgpack map: now (ms), replica, lease (ms), channel, policy, asked = ref (namespace/name), phase (class), before (the
--           status as JSON that the report was merged into, empty for none), status (the merged one), withdrawn (whether
--           this is about a deletion of the published request, which ends what counts on it without a cooldown)
-- Returns   msgpack array: { "done" | "missing" | "changed", due (ms, 0 for nothing) }; "changed": another report came
--           between, read the status again and merge into that
-- Errors    SEAWALL SUPERSEDED  a newer format: nothing was changed
-- Atomic    one step, nothing is written unless "done"
-- Again     a repeated report says "changed", and merging it again gives the same status

local input = unpack(ARGV[1])
local asked = input.asked
NOW, POLICY = input.now, input.policy

if not load_partition() then
  return redis.error_reply('SEAWALL SUPERSEDED a newer version of Seawall has taken over this partition')
end
if (call('HGET', BASE .. 't', asked.ref) or '') ~= asked.before then
  return pack({ 'changed', 0 })
end
local placement
if asked.withdrawn then
  placement = placement_of(asked.ref)
  if not placement or placement.deleted then
    return pack({ 'missing', 0 })
  end
end
-- By how much the cooldown began before now.
local earlier = asked.withdrawn and POLICY.cooldown or 0

local function report_to_storm(storm)
  if storm.hold_until ~= 0 then
    return false
  end
  local now = math.max(NOW, storm.last_seen)
  if storm.phase ~= FINISHED then
    storm.phase = asked.phase
    if asked.phase == FINISHED then
      storm.released_at = now - earlier
      end_storm(storm, now, now)
    end
  end
  storm_changed(storm, now)
  return true
end

local function report_to_incident(row)
  if not row or own_ref(row) ~= asked.ref or is_member(row) or is_held(row) then
    return false
  end
  local now = math.max(NOW, row.last_seen)
  if row.phase ~= FINISHED then
    row.phase = asked.phase
    if asked.phase == FINISHED then
      row.released_at = now - earlier
    end
  end
  -- Also a phase of the same class is news to those who watch.
  touch(row)
  own_changed(row)
  return true
end

-- Nothing counts on the request any more, but when it was worked on says for how long it is kept.
local function note_late(state)
  local a = unpack(state)
  local inner = unpack(a[3])
  if inner[phase_field(a)] ~= FINISHED then
    inner[phase_field(a)] = asked.phase
  end
  a[3] = pack(inner)
  a[5] = math.max(a[5], NOW)
  closed[asked.ref] = with_sequence(a)
  closed_changed(asked.ref)
end

-- Work that begins or ends keeps the problem open for as long as it would have while it was in the state.
local function report_late()
  local doc, state = call('HGET', BASE .. 'd', asked.ref), call('HGET', BASE .. 'c', asked.ref)
  if not doc or not state then
    -- Neither open nor closed means held: it does not exist yet.
    return false
  end
  local a = unpack(state)
  local was = unpack(a[3])[phase_field(a)]
  if asked.phase ~= WAITING and was ~= FINISHED and not asked.withdrawn then
    local row = recall(asked.ref, state)
    if row then
      return report_to_incident(row)
    end
  end
  note_late(state)
  return true
end

local number = call('HGET', BASE .. 's', 'r' .. asked.ref)
local storm = number and storm_of(tonumber(number))
local known
if storm then
  known = report_to_storm(storm)
else
  local doc = call('HGET', BASE .. 'd', asked.ref)
  known = doc and (report_to_incident(incident(unpack(doc)[1])) or report_late())
end
if not known then
  return pack({ 'missing', 0 })
end
put(BASE .. 't', asked.ref, asked.status)
if placement then
  placement.deleted = true
  save_placement(asked.ref, placement)
  call('ZREM', BASE .. 'y', asked.ref)
end
save_all(input.channel)
local mine = part.owner == input.replica
if due ~= 0 and not mine then
  call('PUBLISH', input.channel, string.format('D %d %s', due, KEYS[1]))
end
return pack({ 'done', due })
