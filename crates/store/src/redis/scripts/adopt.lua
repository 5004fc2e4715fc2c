-- Takes over open requests that exist outside, after the state was lost. What is known of a problem, a group or a request goes
-- before what is taken over.
--
-- KEYS[1]   the record of the partition (see state.lua)
-- ARGV[1]   msgpack map: now (ms), replica, lease (ms), channel, policy, asked = epoch (above those of all requests), requests,
--           incidents, storms
-- ARGV[2…]  what each of the requests shows of the signal that opened it
-- Returns   msgpack array: { requests taken over, due (ms, 0 for nothing) }
-- Errors    SEAWALL SUPERSEDED  a newer format: nothing was changed
-- Atomic    one step, so that nothing is decided in a partition that is taken over in part; memory that has run out is noticed
--           before anything is written.
-- Again     harmless: what was taken over is known then.

local input = unpack(ARGV[1])
local asked = input.asked
NOW, POLICY = input.now, input.policy

if not load_partition() then
  return redis.error_reply('SEAWALL SUPERSEDED a newer version of Seawall has taken over this partition')
end
part.epoch = math.max(part.epoch, asked.epoch)
save_partition()
local adopted = 0

local function bytes_of(text)
  return (string.gsub(text, '..', function(pair) return string.char(tonumber(pair, 16)) end))
end

local function is_known(request)
  return call('HEXISTS', BASE .. 'd', request.ref) == 1
end

local function write_request(nth)
  local it = asked.requests[nth]
  docs[it.ref] = pack({ bytes_of(it.fingerprint), it.received, it.previous, ARGV[1 + nth] })
  if it.status ~= '' then
    put(BASE .. 't', it.ref, it.status)
  end
  if it.name ~= '' then
    -- As if nothing had been written yet: it is written again, in the new epoch.
    save_placement(it.ref, { namespace = it.namespace, name = it.name, uid = it.uid, sequence = 0, deleted = false })
  end
  part.floor = math.max(part.floor, it.generation)
  adopted = adopted + 1
end

local function row_of(it)
  local row = {
    fingerprint = bytes_of(it.fingerprint), first_seen = it.first_seen, count = it.count, last_seen = it.last_seen,
    resolved_at = it.resolved_at, flaps = it.resolved_at ~= 0 and 1 or 0,
    severity = it.severity, priority = it.priority, path = it.path, phase = it.phase, released_at = 0, hold_until = 0,
    sequence = part.sequence, counted_in = 0, generation = it.generation, storm = 0, seen = 0, opening = RECALLED,
    order = part.openings, flushing = false, told = NOW, links = it.links,
    namespace = it.namespace, name = it.name, kind = it.kind, resource = it.resource,
  }
  part.openings = part.openings + 1
  return row
end

local function adopt_incident(it)
  local request, row = asked.requests[it.request], row_of(it)
  if is_known(request) then
    return
  end
  if it.closed or incident(row.fingerprint) then
    close_incident(request.ref, row, it.superseded_by, row.last_seen)
  else
    rows[row.fingerprint] = row
    touch(row)
    own_changed(row)
  end
  write_request(it.request)
end

local function adopt_member(storm, it)
  local row = row_of(it)
  if incident(row.fingerprint) then
    return
  end
  row.storm = storm.number
  rows[row.fingerprint] = row
  touch(row)
  local key = BASE .. 'm:' .. storm.number
  if call('RPUSH', key, row.fingerprint) == 1 then
    call('PEXPIRE', key, LIFE)
  end
  storm.living, part.living = storm.living + 1, part.living + 1
  if row.resolved_at == 0 then
    storm.unresolved = storm.unresolved + 1
  end
end

local function adopt_storm(it)
  local ref = asked.requests[it.request].ref
  if is_known(asked.requests[it.request]) then
    return
  end
  part.storms = part.storms + 1
  local storm = {
    number = part.storms, is_new = true,
    facts = {
      fingerprint = bytes_of(asked.requests[it.request].fingerprint), ref = ref, rule = it.rule, type = it.type,
      pattern = it.pattern, group = it.group, group_by = it.group_by, threshold = it.threshold, counted = it.threshold,
      window = it.window, quiet = it.quiet, max_duration = it.max_duration, flush = it.flush, sample = POLICY.sample,
      opened_at = it.opened_at,
    },
    first_seen = it.first_seen, last_seen = it.last_seen, ended_at = it.ended_at, successor = it.successor,
    alert_count = it.alert_count, occurrences = it.occurrences, resolved_at = it.resolved_at,
    severity = it.severity, priority = it.priority, path = it.path, phase = it.phase, released_at = 0, hold_until = 0,
    sequence = part.sequence, supersedes = it.supersedes, related = it.related, living = 0, unresolved = 0,
    sampled = #it.affected, truncated = it.truncated, flushing = false,
  }
  local places, flat = {}, {}
  for at, resource in ipairs(it.affected) do
    local place = { at = at - 1, first_seen = resource[2], last_seen = resource[3], count = resource[4], changed = true }
    places[resource[1]] = place
    flat[#flat + 1] = resource[1]
    flat[#flat + 1] = pack({ place.at, place.first_seen, place.last_seen, place.count })
  end
  write_request(it.request)
  if it.closed or (is_running(storm) and storm_of_group(it.group)) then
    closed[ref] = pack({ 's', encode_facts(storm.facts), encode_course(storm), flat, storm.last_seen, part.epoch })
    return
  end
  storms[storm.number], samples[storm.number] = storm, places
  if is_running(storm) then
    open_group(it.group, storm.number)
  end
  for _, member in ipairs(it.members) do adopt_member(storm, member) end
  note(BASE .. 'e', is_running(storm) and ends_at(storm) or storm.ended_at, storm.number)
  storm_changed(storm, NOW)
end

for _, it in ipairs(asked.incidents) do adopt_incident(it) end
for _, it in ipairs(asked.storms) do adopt_storm(it) end
save_all(input.channel)
return pack({ adopted, due })
