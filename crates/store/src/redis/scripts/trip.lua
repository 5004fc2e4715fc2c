-- The moment a rule's threshold is reached, and what else makes a storm.

-- When the newest incident came into each window that this call has asked about, 0 for none.
local newest_of = {}

local function resource_of(row)
  return row.kind .. '\0' .. row.resource .. '\0' .. row.namespace
end

-- The place of a resource in the storm's list; nil when it is not listed.
local function place_of(storm, resource)
  local sample = samples[storm.number]
  if not sample then
    sample = {}
    samples[storm.number] = sample
  end
  local place = sample[resource]
  if place == nil then
    local raw = call('HGET', BASE .. 'a:' .. storm.number, resource)
    place = false
    if raw then
      local a = unpack(raw)
      place = { at = a[1], first_seen = a[2], last_seen = a[3], count = a[4] }
    end
    sample[resource] = place
  end
  return place or nil
end

-- Counts an incident that joins: everything it was seen for so far.
local function sample_join(storm, row)
  local resource = resource_of(row)
  local place = place_of(storm, resource)
  if place then
    place.first_seen = math.min(place.first_seen, row.first_seen)
    place.last_seen = math.max(place.last_seen, row.last_seen)
    place.count = place.count + row.count
    place.changed = true
  elseif storm.sampled < storm.facts.sample then
    samples[storm.number][resource] = {
      at = storm.sampled, first_seen = row.first_seen, last_seen = row.last_seen, count = row.count, changed = true,
    }
    storm.sampled = storm.sampled + 1
  else
    storm.truncated = true
  end
end

-- Counts one more signal about a resource.
local function sample_repeat(storm, row, now)
  local place = place_of(storm, resource_of(row))
  if place then
    place.last_seen = math.max(place.last_seen, now)
    place.count = place.count + 1
    place.changed = true
  end
end

-- Makes an incident a member. `counted` of its signals are counted on the storm's request.
local function join(storm, row, counted, now)
  row.storm = storm.number
  row.counted_in = 0
  local key = BASE .. 'm:' .. storm.number
  if call('RPUSH', key, row.fingerprint) == 1 then
    call('PEXPIRE', key, LIFE)
  end
  storm.living = storm.living + 1
  part.living = part.living + 1
  storm.alert_count = storm.alert_count + 1
  storm.occurrences = storm.occurrences + counted
  storm.last_seen = math.max(storm.last_seen, row.last_seen, now)
  raise(storm, row.severity, row.priority, row.path)
  if row.resolved_at == 0 then
    storm.unresolved = storm.unresolved + 1
    storm.resolved_at = 0
  end
  sample_join(storm, row)
  touch(row)
  storm_changed(storm, now)
end

-- Makes a storm whose request is that of `leader`, who is its first member with everything counted so far.
local function open_storm(facts, leader, now)
  part.storms = part.storms + 1
  local hold_until = leader.hold_until
  local storm = {
    number = part.storms, is_new = true, facts = facts,
    first_seen = leader.first_seen, last_seen = leader.last_seen, ended_at = 0, successor = '', alert_count = 0,
    occurrences = 0, resolved_at = 0, severity = leader.severity, priority = leader.priority, path = leader.path,
    phase = leader.phase, released_at = 0, hold_until = hold_until, sequence = part.sequence, supersedes = {},
    related = leader.links, living = 0, unresolved = 0, sampled = 0, truncated = false, flushing = leader.flushing,
  }
  leader.links = {}
  storms[storm.number] = storm
  if leader.flushing then
    cancel_own_flush(leader)
    note(BASE .. 'z', now + facts.flush, 's' .. storm.number)
  end
  if hold_until ~= 0 then
    leader.hold_until = 0
    call('ZREM', BASE .. 'h', 'i' .. leader.fingerprint)
    note(BASE .. 'h', hold_until, 's' .. storm.number)
  end
  note(BASE .. 'e', now + facts.quiet, storm.number)
  open_group(facts.group, storm.number)
  join(storm, leader, leader.count, now)
  return storm
end

-- What a request shows of its signal: an envelope around the part that only the replicas read.
local function write_doc(arrival)
  local row = arrival.row
  local ref = own_ref(row)
  docs[ref] = pack({ row.fingerprint, arrival.now, arrival.previous, arrival.signal.doc })
  return ref
end

-- What becomes of an incident whose group trips:
local PAST = 'past'       -- ended or finished: counts, but its request stays what it was
local WORKED = 'worked'   -- being executed: stays what it was, linked to the storm
local PENDING = 'pending' -- not published yet: becomes a member, and its request never exists
local EARLY = 'early'     -- published and not acted upon: becomes a member, its request is superseded

local function part_of(row, entry, now)
  if not row or row.order ~= entry.order then
    return PAST
  end
  if is_held(row) then return PENDING end
  if row.phase == FINISHED or standing(row, now) == OVER then return PAST end
  return (row.phase == WAITING or row.phase == STUDIED) and EARLY or WORKED
end

-- The own request of an incident is replaced by that of the storm and does not change any more.
local function supersede(storm, row, now)
  local ref = own_ref(row)
  if row.flushing then
    cancel_own_flush(row)
  end
  touch(row)
  storm.supersedes[#storm.supersedes + 1] = name_of(ref)
  close_incident(ref, row, name_of(storm.facts.ref), now)
  row.links = {}
  closed_changed(ref)
end

local function take_part(storm, row, role, now)
  if role == PENDING then
    cancel_own_hold(row)
    drop_doc(own_ref(row))
    join(storm, row, row.count, now)
  elseif role == EARLY then
    supersede(storm, row, now)
    join(storm, row, 0, now)
  elseif role == WORKED then
    storm.related[#storm.related + 1] = name_of(own_ref(row))
    row.links[#row.links + 1] = name_of(storm.facts.ref)
    touch(row)
    own_changed(row)
    storm_changed(storm, now)
  end
end

local function value_of(signal, field)
  if field == 'namespace' then return signal.namespace end
  if field == 'cluster' then return POLICY.cluster end
  if field == 'alertname' then return signal.name end
  if field == 'severity' then return POLICY.severities[signal.severity + 1] end
  for at = 1, #signal.grouping, 2 do
    if signal.grouping[at] == field then
      return signal.grouping[at + 1]
    end
  end
  return ''
end

-- `<alertname> in <namespace>`, `<alertname> on cluster-scoped resources`; a rule that looks across names shows its own.
local function pattern_of(rule, signal)
  local what = rule.type == 'rate' and signal.name or rule.name
  if signal.namespace == '' then
    return what .. ' on cluster-scoped resources'
  end
  return what .. ' in ' .. signal.namespace
end

local function facts_of(arrival, rule, group, leader, counted)
  local group_by = {}
  for _, field in ipairs(rule.fields) do
    group_by[#group_by + 1] = field
    group_by[#group_by + 1] = value_of(arrival.signal, field)
  end
  return {
    fingerprint = leader.fingerprint, ref = own_ref(leader), rule = rule.name, type = rule.type,
    pattern = pattern_of(rule, arrival.signal), group = group, group_by = group_by, threshold = rule.threshold,
    counted = counted, window = rule.window, quiet = rule.quiet, max_duration = rule.max_duration,
    flush = rule.flush, sample = POLICY.sample, opened_at = arrival.now,
  }
end

-- Opens a storm. `entries` is what the window holds, the arrival included; the threshold-th signal is already part of it.
local function trip(arrival, rule, group, entries)
  call('DEL', BASE .. 'w:' .. group)
  drop(BASE .. 'v', group)
  newest_of[group] = 0
  local roles = {}
  for _, entry in ipairs(entries) do
    local row = incident(entry.fingerprint)
    if row and row.order == entry.order then
      -- The group counts from zero after the storm, also those that do not become members.
      row.counted_in = bit.band(row.counted_in, bit.bnot(bit.lshift(1, entry.bit)))
      touch(row)
    end
    if entry.fingerprint ~= arrival.row.fingerprint then
      roles[#roles + 1] = { row, part_of(row, entry, arrival.now) }
    end
  end
  local leader
  for _, it in ipairs(roles) do
    if it[2] ~= PAST then
      leader = it[2] ~= WORKED and it[1] or nil
      break
    end
  end
  arrival.row.opening = TRIPPED
  local first = leader or arrival.row
  local storm = open_storm(facts_of(arrival, rule, group, first, #entries), first, arrival.now)
  for _, it in ipairs(roles) do
    if it[1] ~= leader then
      take_part(storm, it[1], it[2], arrival.now)
    end
  end
  if leader then
    join(storm, arrival.row, 1, arrival.now)
    return 'aggregated', true
  end
  announce('A', write_doc(arrival))
  return 'created', true
end

-- Ends a storm that has lasted too long and continues it with a request of the arrival's.
local function roll_over(arrival, old)
  arrival.previous = name_of(old.facts.ref)
  local ref = write_doc(arrival)
  arrival.row.opening = CONTINUED
  old.successor = name_of(ref)
  end_storm(old, arrival.now, arrival.now)
  local facts = {}
  for key, value in pairs(old.facts) do facts[key] = value end
  facts.fingerprint, facts.ref = arrival.row.fingerprint, ref
  facts.opened_at, facts.sample = arrival.now, POLICY.sample
  for _, rule in ipairs(POLICY.rules) do
    if rule.name == facts.rule then
      facts.window, facts.quiet, facts.max_duration, facts.flush =
        rule.window, rule.quiet, rule.max_duration, rule.flush
      break
    end
  end
  local storm = open_storm(facts, arrival.row, arrival.now)
  -- Only this signal counts on the successor; earlier ones stay with the old storm.
  storm.occurrences, storm.first_seen = 1, arrival.now
  announce('A', ref)
  return 'created', true
end
