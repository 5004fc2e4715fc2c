-- The state of one partition, and the only way to read and change it.
--
-- This file is the beginning of every script that changes state; Redis has no modules, so the files are joined:
--   state.lua, storm.lua, then decide.lua (with trip.lua and open.lua), report.lua, adopt.lua or tick.lua.
--
-- KEYS[1]   <prefix>:1:{<tag>}:p, the record of the partition. All other keys are in the same slot and begin the same:
--     i        hash   fingerprint (32 bytes)  -> incident that is open or ended a moment ago
--     s        hash   "<n>f", "<n>c"          -> storm: facts, course; "r<namespace/name>" -> number of the storm
--     g        hash   group                   -> number of its open storm
--     d        hash   namespace/name          -> what a request shows of the signal that opened it
--     n        zset   namespace/name          -> all requests in the order of their names (score 0)
--     c        hash   namespace/name          -> final state of a request that nothing counts on any more
--     t        hash   namespace/name          -> what workers reported, as JSON
--     h        zset   "i<fingerprint>", "s<n>"-> until when a request is held back
--     z        zset   "i<fingerprint>", "s<n>", "c<namespace/name>" -> when watchers are to hear of a change
--     e        zset   "<n>"                   -> when to look at a storm again
--     y        zset   namespace/name          -> when to tell whoever publishes that it is not published as it is now
--     k        hash   namespace/name          -> where it was published: namespace, name, uid, number of the change, whether
--                                                somebody deleted it there
--     v        hash   group                   -> length of its window, as long as there is one
--     w:<group> zset  order, rule bit, fingerprint -> when the incident opened: the sliding window
--     m:<n>    list   fingerprints in the order in which they joined storm n
--     a:<n>    hash   resource                -> place in the list of affected resources, first and last seen, count
--     o:<replica> string, the last operation of that replica and its answer
-- KEYS[2]   {<tag>}:never, which does not exist: it keeps calls away while a cluster moves the slot (see link/script.rs)
--
-- Time is an argument (`NOW`, milliseconds). Only numbers of changes come from the server's clock, for they have to grow
-- across partitions. Rules are those of the crate `seawall-engine`; a differential test holds both together.
--
-- Values are read once per call, changed in memory and written once at the end. Every key gets its expiry in the step
-- that makes it; the periodic look renews it.

local call, pack, unpack = redis.call, cmsgpack.pack, cmsgpack.unpack

local FORMAT = 1
local BASE = string.sub(KEYS[1], 1, -2)
-- How long a partition that no replica looks at is kept: 30 days.
local LIFE = 30 * 86400000

local WAITING, STUDIED, ACTING, FINISHED = 0, 1, 2, 3
local ALONE, HELD, JOINED, TRIPPED, CONTINUED, RECALLED = 0, 1, 2, 3, 4, 5

local NOW, POLICY
local part
local rows, changed_rows = {}, {}
local storms, changed_storms = {}, {}
-- Groups and the numbers of their open storms, 0 for none.
local storm_numbers = {}
local samples = {}
local docs, closed = {}, {}
local announcements = {}
-- The earliest moment at which something that this call has noted is due; 0 for nothing.
local due = 0

-- Hashes that are known to have an expiry.
local kept = {}

local function put(key, field, value)
  if call('HSET', key, field, value) == 1 and not kept[key] then
    if call('HLEN', key) == 1 then
      call('PEXPIRE', key, LIFE)
    end
    kept[key] = true
  end
end

local function drop(key, field)
  call('HDEL', key, field)
  kept[key] = nil
end

local function note(key, time, member)
  if call('ZADD', key, time, member) == 1 and call('ZCARD', key) == 1 then
    call('PEXPIRE', key, LIFE)
  end
  if key ~= BASE .. 'n' and (due == 0 or time < due) then
    due = time
  end
end

-- The partition ------------------------------------------------------------------------------------------------------

-- Reads the record, or refuses: a newer version of Seawall that has taken the partition over writes another format.
local function load_partition()
  local raw = call('GET', KEYS[1])
  local a = raw and unpack(raw) or { FORMAT, 0, 0, 0, 0, 0, 0, 0, '', 0, '0', '0', '0', POLICY.published, 0 }
  if a[1] ~= FORMAT then
    return false
  end
  part = {
    is_new = not raw,
    sequence = a[2], epoch = a[3], floor = a[4], openings = a[5], storms = a[6], held = a[7], living = a[8],
    owner = a[9], lease = a[10], sweep = a[11], sweep_closed = a[12], sweep_groups = a[13],
    -- Whether `y` has everything that is not published. Versions that publish nothing leave it out.
    published = a[14] and POLICY.published,
    -- The epoch whose owner was told of what is not published.
    told = a[15] or 0,
  }
  local time = call('TIME')
  part.sequence = math.max(part.sequence + 1, time[1] * 1000000 + time[2])
  return true
end

local function save_partition()
  local record = pack({
    FORMAT, part.sequence, part.epoch, part.floor, part.openings, part.storms, part.held, part.living,
    part.owner, part.lease, part.sweep, part.sweep_closed, part.sweep_groups, part.published,
    part.told,
  })
  call('SET', KEYS[1], record, 'PX', LIFE)
end

-- Whether `replica` publishes for this partition, after claiming it if nobody does. Whoever takes over raises the epoch.
-- A lease that lies further ahead than any clock should be wrong is none.
local function claim(replica, lease)
  if part.owner ~= replica then
    local left = part.lease - NOW
    if part.owner ~= '' and left > 0 and left <= 2 * lease then
      return false
    end
    part.owner, part.epoch, part.lease = replica, part.epoch + 1, 0
  end
  part.lease = math.max(part.lease, NOW + lease)
  return true
end

-- Names --------------------------------------------------------------------------------------------------------------

local function hex(bytes)
  return (string.gsub(bytes, '.', function(byte) return string.format('%02x', string.byte(byte)) end))
end

-- Where requests of a namespace live: one that is no DNS label has them in the fallback.
local function home(namespace)
  if #namespace <= 63 and string.find(namespace, '^[a-z0-9]') and string.find(namespace, '[a-z0-9]$')
    and not string.find(namespace, '[^a-z0-9-]') then
    return namespace
  end
  return POLICY.fallback
end

local function request_name(fingerprint, generation)
  return 'rr-' .. hex(string.sub(fingerprint, 1, 8)) .. '-' .. string.format('%d', generation)
end

local function own_ref(row)
  return home(row.namespace) .. '/' .. request_name(row.fingerprint, row.generation)
end

local function name_of(ref)
  return (string.gsub(ref, '^[^/]*/', ''))
end

-- Where a request was published; nil when it was not.
local function placement_of(ref)
  local raw = call('HGET', BASE .. 'k', ref)
  local a = raw and unpack(raw)
  return a and { namespace = a[1], name = a[2], uid = a[3], sequence = a[4], deleted = a[5] } or nil
end

local function save_placement(ref, it)
  put(BASE .. 'k', ref, pack({ it.namespace, it.name, it.uid, it.sequence, it.deleted }))
end

-- Remembers that a request is to be published, unless somebody deleted it where it was.
local function unpublish(ref)
  local placement = placement_of(ref)
  if not (placement and placement.deleted) then
    note(BASE .. 'y', NOW, ref)
  end
end

-- Watchers are told when everything is written. `A` added, `M` modified.
local function announce(kind, ref)
  announcements[#announcements + 1] = { kind, ref }
end

-- Incidents ----------------------------------------------------------------------------------------------------------

local function decode_row(fingerprint, raw)
  local a = unpack(raw)
  return {
    fingerprint = fingerprint,
    first_seen = a[1], count = a[2], last_seen = a[3], resolved_at = a[4], flaps = a[5],
    severity = a[6], priority = a[7], path = a[8], phase = a[9], released_at = a[10], hold_until = a[11],
    sequence = a[12], counted_in = a[13], generation = a[14], storm = a[15], seen = a[16], opening = a[17],
    order = a[18], flushing = a[19], links = a[20],
    namespace = a[21], name = a[22], kind = a[23], resource = a[24],
    -- When watchers last heard of its own request. Earlier versions leave it out.
    told = a[25] or 0,
  }
end

local function encode_row(row)
  return pack({
    row.first_seen, row.count, row.last_seen, row.resolved_at, row.flaps,
    row.severity, row.priority, row.path, row.phase, row.released_at, row.hold_until,
    row.sequence, row.counted_in, row.generation, row.storm, row.seen, row.opening,
    row.order, row.flushing, row.links,
    row.namespace, row.name, row.kind, row.resource, row.told,
  })
end

-- The incident of a problem; nil when it is not in the state.
local function incident(fingerprint)
  local row = rows[fingerprint]
  if row == nil then
    local raw = call('HGET', BASE .. 'i', fingerprint)
    row = raw and decode_row(fingerprint, raw) or false
    rows[fingerprint] = row
  end
  return row or nil
end

local function touch(row)
  row.sequence = part.sequence
  changed_rows[row.fingerprint] = true
end

local function is_held(row) return row.hold_until ~= 0 end
local function is_member(row) return row.storm ~= 0 end

-- Storms -------------------------------------------------------------------------------------------------------------

local function storm_of(number)
  if number == 0 then
    return nil
  end
  local storm = storms[number]
  if storm == nil then
    local raw = call('HMGET', BASE .. 's', number .. 'f', number .. 'c')
    storm = false
    if raw[1] and raw[2] then
      local f, c = unpack(raw[1]), unpack(raw[2])
      storm = {
        number = number,
        facts = {
          fingerprint = f[1], ref = f[2], rule = f[3], type = f[4], pattern = f[5], group = f[6], group_by = f[7],
          threshold = f[8], counted = f[9], window = f[10], quiet = f[11], max_duration = f[12], flush = f[13],
          sample = f[14], opened_at = f[15],
        },
        first_seen = c[1], last_seen = c[2], ended_at = c[3], successor = c[4], alert_count = c[5],
        occurrences = c[6], resolved_at = c[7], severity = c[8], priority = c[9], path = c[10], phase = c[11],
        released_at = c[12], hold_until = c[13], sequence = c[14], supersedes = c[15], related = c[16],
        living = c[17], unresolved = c[18], sampled = c[19], truncated = c[20], flushing = c[21],
      }
    end
    storms[number] = storm
  end
  return storm or nil
end

local function encode_facts(f)
  return pack({
    f.fingerprint, f.ref, f.rule, f.type, f.pattern, f.group, f.group_by, f.threshold, f.counted, f.window, f.quiet,
    f.max_duration, f.flush, f.sample, f.opened_at,
  })
end

local function encode_course(s)
  return pack({
    s.first_seen, s.last_seen, s.ended_at, s.successor, s.alert_count, s.occurrences, s.resolved_at, s.severity,
    s.priority, s.path, s.phase, s.released_at, s.hold_until, s.sequence, s.supersedes, s.related, s.living,
    s.unresolved, s.sampled, s.truncated, s.flushing,
  })
end

-- The open storm of a group; nil when there is none.
local function storm_of_group(group)
  local number = storm_numbers[group]
  if number == nil then
    number = tonumber(call('HGET', BASE .. 'g', group) or 0)
    storm_numbers[group] = number
  end
  return storm_of(number)
end

local function open_group(group, number)
  storm_numbers[group] = number
  put(BASE .. 'g', group, number)
end

local function close_group(group)
  storm_numbers[group] = 0
  drop(BASE .. 'g', group)
end

-- Requests -----------------------------------------------------------------------------------------------------------

-- The final state of an incident's own request. It says everything that is needed to take the incident back.
local function close_incident(ref, row, superseded_by, at)
  closed[ref] = pack({ 'i', row.fingerprint, encode_row(row), superseded_by, at, part.epoch })
end

local function close_storm(storm, at)
  local resources = call('HGETALL', BASE .. 'a:' .. storm.number)
  closed[storm.facts.ref] =
    pack({ 's', encode_facts(storm.facts), encode_course(storm), resources, at, part.epoch })
end

local function drop_doc(ref)
  docs[ref] = false
end

-- Writing ------------------------------------------------------------------------------------------------------------

local function save_all(channel)
  for fingerprint in pairs(changed_rows) do
    local row = rows[fingerprint]
    if row then
      put(BASE .. 'i', fingerprint, encode_row(row))
    else
      drop(BASE .. 'i', fingerprint)
    end
  end
  for number in pairs(changed_storms) do
    local storm = storms[number]
    if storm then
      if storm.is_new then
        put(BASE .. 's', number .. 'f', encode_facts(storm.facts))
        put(BASE .. 's', 'r' .. storm.facts.ref, number)
      end
      put(BASE .. 's', number .. 'c', encode_course(storm))
    end
  end
  for number, sample in pairs(samples) do
    for resource, place in pairs(sample) do
      if place and place.changed then
        put(BASE .. 'a:' .. number, resource, pack({ place.at, place.first_seen, place.last_seen, place.count }))
      end
    end
  end
  for ref, doc in pairs(docs) do
    if doc then
      put(BASE .. 'd', ref, doc)
      note(BASE .. 'n', 0, ref)
    else
      drop(BASE .. 'd', ref)
      call('ZREM', BASE .. 'n', ref)
    end
  end
  for ref, state in pairs(closed) do
    if state then
      put(BASE .. 'c', ref, state)
    else
      drop(BASE .. 'c', ref)
    end
  end
  if POLICY.published then
    for _, it in ipairs(announcements) do unpublish(it[2]) end
  end
  save_partition()
  for _, it in ipairs(announcements) do
    call('PUBLISH', channel, string.format('%s %d %s', it[1], part.sequence, it[2]))
  end
end

-- How many requests came to exist and how many changes were told.
local function announced()
  local added, modified = 0, 0
  for _, it in ipairs(announcements) do
    if it[1] == 'A' then added = added + 1 else modified = modified + 1 end
  end
  return added, modified
end
