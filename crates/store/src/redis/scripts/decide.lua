-- Decides the signals of one batch, in order and as a whole.
--
-- KEYS[1]   the record of the partition (see state.lua)
-- ARGV[1]   msgpack map: now (ms), replica, lease (ms), channel, policy, asked = op (a number that grows with every new call
--           of the replica to this partition), remember (ms), cluster, begin (whether a partition that is not there may be
--           begun), signals
-- ARGV[2]   the fingerprints of the signals, 32 bytes each
-- ARGV[3…]  what a request would show of each signal
-- Returns   msgpack array: { decisions, storms they name, added, modified, due (ms, 0 for nothing), lease end of another
--           replica that publishes for this partition (ms, 0 when this one does), change in the number of held requests }
-- Errors    SEAWALL SUPERSEDED  a newer format: nothing was changed, nor may it be
--           SEAWALL UNKNOWN     the partition is not there: whether something was lost is to be found out first
--           SEAWALL STALE       the replica has sent a later call meanwhile: this one came too late and changes nothing
-- Atomic    everything is one step; memory that has run out is noticed before anything is written.
-- Again     with the same `op` it returns the same answer and changes nothing.

local input = unpack(ARGV[1])
local asked = input.asked
NOW, POLICY = input.now, input.policy
POLICY.cluster = asked.cluster

local OPERATION = BASE .. 'o:' .. input.replica
local last = call('GET', OPERATION)
if last then
  local number, answer = string.match(last, '^(%d+) (.*)$')
  if tonumber(number) == asked.op then
    -- A write, so that waiting for replicas or the disk after it means the first one, too.
    call('PEXPIRE', OPERATION, asked.remember)
    return answer
  elseif tonumber(number) > asked.op then
    return redis.error_reply('SEAWALL STALE a later call of this replica was decided')
  end
end
if not load_partition() then
  return redis.error_reply('SEAWALL SUPERSEDED a newer version of Seawall has taken over this partition')
end
if part.is_new and POLICY.published and not asked.begin then
  return redis.error_reply('SEAWALL UNKNOWN the partition is not there')
end
local held_before = part.held
-- The first write is one that fails when memory has run out.
local mine = claim(input.replica, input.lease)
save_partition()

local function read_signal(at)
  local a = asked.signals[at]
  local groups = {}
  for nth = 1, #a[9], 2 do
    groups[#groups + 1] = { rule = a[9][nth], key = a[9][nth + 1] }
  end
  return {
    fingerprint = string.sub(ARGV[2], 32 * at - 31, 32 * at), doc = ARGV[2 + at],
    resolved = a[1], namespace = a[2], name = a[3], kind = a[4], resource = a[5],
    severity = a[6], priority = a[7], path = a[8], groups = groups, grouping = a[10],
  }
end

-- An incident's time never goes backwards, nor does that of the storm it belongs to.
local function time_of(row, now)
  local storm = storm_of(row.storm)
  return math.max(now, row.last_seen, storm and storm.last_seen or 0)
end

-- Adds one firing signal to an incident; says whether it had been resolved.
local function count_signal(row, signal, now)
  local was_resolved = row.resolved_at ~= 0
  row.count = row.count + 1
  row.last_seen = now
  row.resolved_at = 0
  raise(row, signal.severity, signal.priority, signal.path)
  touch(row)
  return was_resolved
end

-- Counts a further signal of an open incident.
local function again(row, signal, now)
  local was_resolved = count_signal(row, signal, now)
  local storm = storm_of(row.storm)
  if storm then
    storm.occurrences = storm.occurrences + 1
    storm.last_seen = math.max(storm.last_seen, now)
    raise(storm, signal.severity, signal.priority, signal.path)
    if was_resolved then
      storm.unresolved = storm.unresolved + 1
    end
    storm.resolved_at = 0
    sample_repeat(storm, signal, now)
    storm_changed(storm, now)
  else
    own_changed(row)
  end
  return 'duplicate', false
end

-- An old member of a continued storm fires again: it moves to the one that is open, or opens it.
local function move_on(row, storm, signal, now)
  leave_storm(row)
  count_signal(row, signal, now)
  -- The new request rises to the worst that it has seen itself, and nobody has worked on it.
  row.severity, row.priority, row.path = signal.severity, signal.priority, signal.path
  row.phase, row.released_at = WAITING, 0
  if now - storm.facts.opened_at >= storm.facts.max_duration then
    row.generation = math.max(1, math.floor(now / 1000), row.generation + 1)
    return roll_over({ signal = signal, now = now, row = row, previous = '' }, storm)
  end
  join(storm, row, 1, now)
  return 'aggregated', false
end

-- Takes a problem back whose newest request is closed and not resolved, so that a late "resolved" marks it.
local function recall_resolved(signal)
  local prefix = home(signal.namespace) .. '/rr-' .. hex(string.sub(signal.fingerprint, 1, 8)) .. '-'
  local found = call('ZREVRANGEBYLEX', BASE .. 'n', '[' .. prefix .. '\255', '[' .. prefix, 'LIMIT', 0, 1)
  local state = found[1] and call('HGET', BASE .. 'c', found[1])
  if not state then
    return nil
  end
  local a = unpack(state)
  if a[1] ~= 'i' or a[2] ~= signal.fingerprint or decode_row(a[2], a[3]).resolved_at ~= 0 then
    return nil
  end
  return recall(found[1], state)
end

-- Marks an incident as resolved, and its storm when that was the last one. It never creates anything and neither stops nor
-- restarts the silence timer.
local function resolve(row, now)
  now = math.max(now, row.last_seen)
  if row.resolved_at ~= 0 then
    return
  end
  row.resolved_at = now
  row.flaps = row.flaps + 1
  touch(row)
  local storm = storm_of(row.storm)
  if storm then
    storm.unresolved = math.max(0, storm.unresolved - 1)
    if storm.unresolved == 0 then
      storm.resolved_at = now
    end
    storm_changed(storm, now)
  else
    own_changed(row)
  end
end

local function decide(signal)
  local row = incident(signal.fingerprint)
  if signal.resolved then
    row = row or recall_resolved(signal)
    if row then
      resolve(row, NOW)
    end
    return row, 'resolved', false
  end
  if not row then
    return open(signal, NOW, nil)
  end
  local now = time_of(row, NOW)
  end_storms_if_quiet(row, now)
  local state, storm = standing(row, now)
  if state == OPEN then
    return row, again(row, signal, now)
  elseif state == OVER then
    return open(signal, now, row)
  end
  return row, move_on(row, storm, signal, now)
end

local KINDS = { created = 1, accepted = 2, duplicate = 3, aggregated = 4, resolved = 5 }
local decisions, named, places = {}, {}, {}

-- What the caller is told about an incident after it was counted.
local function tell(row, kind, opened)
  if not row then
    return { KINDS[kind], 0, NOW, NOW, 0, 0, '', 0, false }
  end
  local storm = storm_of(row.storm)
  local at, alerts, generation, namespace = 0, 0, 0, ''
  if storm then
    at = places[storm.number]
    if not at then
      at = #named + 1
      places[storm.number] = at
      named[at] = { storm.facts.ref, storm.facts.rule, storm.facts.type, storm.facts.pattern }
    end
    alerts = storm.alert_count
  elseif not is_held(row) then
    generation, namespace = row.generation, home(row.namespace)
  end
  return { KINDS[kind], row.count, row.first_seen, row.last_seen, at, generation, namespace, alerts, opened }
end

for at = 1, #asked.signals do
  decisions[at] = tell(decide(read_signal(at)))
end

save_all(input.channel)
if due ~= 0 and not mine then
  -- Whoever publishes for this partition does not know yet that there is something to do.
  call('PUBLISH', input.channel, string.format('D %d %s', due, KEYS[1]))
end
local added, modified = announced()
local answer = pack({ decisions, named, added, modified, due, mine and 0 or part.lease, part.held - held_before })
call('SET', OPERATION, string.format('%d ', asked.op) .. answer, 'PX', asked.remember)
return answer
