-- What happens to storms and to single incidents alike: time, standing, flushes, ends.

local function raise(target, severity, priority, path)
  if severity > target.severity then
    target.severity, target.priority, target.path = severity, priority, path
  end
end

-- Whether an incident that counts on a request in this phase is still open: the request's own state refines the timer.
local function is_open(phase, released_at, last_seen, now)
  if released_at ~= 0 then
    return now - released_at < POLICY.cooldown
  end
  return phase ~= WAITING or now - last_seen < POLICY.ttl
end

local function is_running(storm) return storm.ended_at == 0 end
local function ends_at(storm) return storm.last_seen + storm.facts.quiet end

-- Notes that a storm is to be written, and that watchers should see it at its next flush.
local function storm_changed(storm, now)
  storm.sequence = part.sequence
  changed_storms[storm.number] = true
  if not storm.flushing and storm.hold_until == 0 then
    storm.flushing = true
    note(BASE .. 'z', now + storm.facts.flush, 's' .. storm.number)
  end
end

-- Lets watchers see the changed request of a single incident, at most once per flush interval: at once when they have not
-- heard of it for that long, which most repeats are, else when the interval is over. When that is has nothing to do with
-- the incident's own time, which never goes backwards.
local function own_changed(row)
  if is_held(row) or is_member(row) or row.flushing then
    return
  end
  touch(row)
  if NOW - row.told >= POLICY.flush then
    row.told = NOW
    announce('M', own_ref(row))
  else
    row.flushing = true
    note(BASE .. 'z', math.min(row.told, NOW) + POLICY.flush, 'i' .. row.fingerprint)
  end
end

local function cancel_own_flush(row)
  if row.flushing then
    row.flushing = false
    call('ZREM', BASE .. 'z', 'i' .. row.fingerprint)
  end
end

local function cancel_own_hold(row)
  row.hold_until = 0
  part.held = part.held - 1
  call('ZREM', BASE .. 'h', 'i' .. row.fingerprint)
end

-- Lets watchers hear of a changed request that is no longer open, at most once per flush interval.
local function closed_changed(ref)
  local member = 'c' .. ref
  if not call('ZSCORE', BASE .. 'z', member) then
    note(BASE .. 'z', NOW + POLICY.flush, member)
  end
end

-- Ends a storm as of `at`; its group counts from zero. `now` is when watchers are to hear of it.
local function end_storm(storm, at, now)
  if not is_running(storm) then
    return
  end
  storm.ended_at = at
  local group = storm.facts.group
  if storm_of_group(group) == storm then
    close_group(group)
  end
  storm_changed(storm, now)
  note(BASE .. 'e', at + POLICY.memory, storm.number)
end

-- Ends the incident's storm, and the one that continues it, if they have been quiet for too long.
local function end_storms_if_quiet(row, now)
  local own = storm_of(row.storm)
  if not own then
    return
  end
  local current = storm_of_group(own.facts.group)
  if is_running(own) and now >= ends_at(own) then
    end_storm(own, ends_at(own), now)
  end
  if current and is_running(current) and now >= ends_at(current) then
    end_storm(current, ends_at(current), now)
  end
end

local OPEN, OVER = 'open', 'over'

-- Where a known problem stands when it fires: open, over, or a member of a storm that another one continues, which is
-- returned (it is the same one when that is still to be opened).
local function standing(row, now)
  local storm = storm_of(row.storm)
  if not storm then
    return is_open(row.phase, row.released_at, row.last_seen, now) and OPEN or OVER
  end
  if is_running(storm) then
    if now - storm.facts.opened_at >= storm.facts.max_duration then
      return 'continues', storm
    end
    return OPEN
  end
  if storm.successor ~= '' then
    local current = storm_of_group(storm.facts.group)
    if current then
      return 'continues', current
    end
  end
  return is_open(storm.phase, storm.released_at, row.last_seen, now) and OPEN or OVER
end

-- Forgets that an incident belongs to its storm.
local function leave_storm(row)
  local storm = storm_of(row.storm)
  row.storm = 0
  if storm then
    storm.living = math.max(0, storm.living - 1)
    part.living = math.max(0, part.living - 1)
    if row.resolved_at == 0 then
      storm.unresolved = math.max(0, storm.unresolved - 1)
    end
    changed_storms[storm.number] = true
  end
end

-- Ends the part an incident plays: leaves its storm, or closes its own request with its final state.
local function let_go(row)
  if is_member(row) then
    return leave_storm(row)
  end
  local ref = own_ref(row)
  local at = math.max(row.last_seen, row.released_at, row.resolved_at)
  if is_held(row) then
    -- It fired again before its hold was over: nothing of it may get lost.
    announce('A', ref)
    cancel_own_hold(row)
  elseif row.flushing then
    cancel_own_flush(row)
    closed_changed(ref)
  end
  close_incident(ref, row, '', at)
end

-- Takes an incident out of the state. Names of later ones are above its generation, so that a clock that goes back never
-- makes a name twice.
local function remove(row)
  part.floor = math.max(part.floor, row.generation)
  rows[row.fingerprint] = false
  changed_rows[row.fingerprint] = true
end

-- Brings back an incident whose request has been closed, so that a late report about it still counts. Does nothing when
-- the problem is known with this or a later request, when the request was superseded, and for storms.
local function recall(ref, state)
  local a = unpack(state)
  if a[1] ~= 'i' or a[4] ~= '' then
    return nil
  end
  local row = decode_row(a[2], a[3])
  local known = incident(row.fingerprint)
  if known then
    if known.generation >= row.generation then
      return nil
    end
    let_go(known)
    remove(known)
  end
  row.storm, row.hold_until, row.counted_in, row.flushing, row.seen = 0, 0, 0, false, 0
  row.flaps = row.resolved_at ~= 0 and 1 or 0
  row.opening = RECALLED
  row.released_at, row.told = 0, NOW
  if row.phase == FINISHED then
    -- Its cooldown is over, else it would not have left the state.
    row.released_at = row.last_seen - POLICY.cooldown
  end
  rows[row.fingerprint] = row
  touch(row)
  closed[ref] = false
  return row
end

-- Places in a closed state of an incident's or a storm's request.
local function phase_field(a) return a[1] == 'i' and 9 or 11 end

-- A closed state as of this change.
local function with_sequence(a)
  local inner = unpack(a[3])
  inner[a[1] == 'i' and 12 or 14] = part.sequence
  a[3] = pack(inner)
  return pack(a)
end
