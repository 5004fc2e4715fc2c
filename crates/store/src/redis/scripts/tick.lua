-- What happens by itself: held requests come out, changes are told, storms end, what is over leaves.
--
-- KEYS[1]   the record of the partition (see state.lua)
-- ARGV[1]   msgpack map: now (ms), replica, lease (ms), channel, policy, asked = most (things done at most), sweep (incidents
--           and closed requests looked at, 0 for none), look (also renew the expiry of everything), tell (requests to be
--           published that may be named), again (ms until they are named again), release
-- Returns   msgpack array: { lease end of another replica (ms, 0 when this one publishes), next due (ms, 0 for never),
--           added, modified, deleted, whether there is more to do now, whether the partition exists, how many incidents or
--           groups there are to go through, namespace/name of requests to be published, whether there are more of those }
-- Errors    SEAWALL SUPERSEDED  a newer format: nothing was changed
-- Atomic    one step. Only the replica that has the claim changes anything; one that has lost it is told so.
-- Again     harmless: what was done is no longer due.

local input = unpack(ARGV[1])
local asked = input.asked
NOW, POLICY = input.now, input.policy
-- How long to wait before looking again at an ended storm that some member still keeps, in milliseconds.
local LOOK_AGAIN = 10000
-- How often expiries are renewed: once a day.
local RENEWED = 86400000

if not load_partition() then
  return redis.error_reply('SEAWALL SUPERSEDED a newer version of Seawall has taken over this partition')
end
if asked.release then
  if part.owner == input.replica then
    part.owner, part.lease = '', 0
    save_partition()
  end
  return pack({ 0, 0, 0, 0, 0, false, true, 0, {}, false })
end
-- A partition in which nothing is left is not kept alive by being looked at.
local function is_empty()
  for _, key in ipairs({ 'i', 's', 'd', 'v' }) do
    if call('EXISTS', BASE .. key) == 1 then return false end
  end
  return true
end
if is_empty() then
  return pack({ 0, 0, 0, 0, 0, false, call('EXISTS', KEYS[1]) == 1, 0, {}, false })
end
if not claim(input.replica, input.lease) then
  return pack({ part.lease, 0, 0, 0, 0, false, true, 0, {}, false })
end

local done, deleted = 0, 0

-- Takes out of an agenda what is due, as much as may still be done.
local function pop_due(agenda)
  local members = call('ZRANGEBYSCORE', BASE .. agenda, '-inf', NOW, 'LIMIT', 0, math.max(0, asked.most - done))
  for _, member in ipairs(members) do
    call('ZREM', BASE .. agenda, member)
  end
  done = done + #members
  return members
end

local function release_hold(member)
  local subject = string.sub(member, 2)
  if string.sub(member, 1, 1) == 'i' then
    local row = incident(subject)
    if row and is_held(row) and not is_member(row) then
      row.hold_until, row.told = 0, NOW
      part.held = part.held - 1
      touch(row)
      announce('A', own_ref(row))
    end
  else
    local storm = storm_of(tonumber(subject))
    if storm and storm.hold_until ~= 0 then
      storm.hold_until = 0
      part.held = part.held - 1
      storm.sequence = part.sequence
      changed_storms[storm.number] = true
      announce('A', storm.facts.ref)
    end
  end
end

local function flush(member)
  local kind, subject = string.sub(member, 1, 1), string.sub(member, 2)
  if kind == 'i' then
    local row = incident(subject)
    if row and row.flushing and not is_member(row) then
      row.flushing, row.told = false, NOW
      -- Whoever resumes from a revision before this one must be told again.
      touch(row)
      announce('M', own_ref(row))
    end
  elseif kind == 's' then
    local storm = storm_of(tonumber(subject))
    if storm and storm.flushing then
      storm.flushing = false
      storm.sequence = part.sequence
      changed_storms[storm.number] = true
      announce('M', storm.facts.ref)
    end
  else
    local state = call('HGET', BASE .. 'c', subject)
    if state then
      closed[subject] = with_sequence(unpack(state))
      announce('M', subject)
    end
  end
end

-- Whether an ended storm has been remembered for long enough and nobody counts on its request any more.
local function is_forgettable(storm)
  return not is_running(storm) and NOW - storm.ended_at >= POLICY.memory and not storm.flushing
    and storm.hold_until == 0 and not is_open(storm.phase, storm.released_at, storm.last_seen, NOW)
end

local function forget_storm(storm)
  close_storm(storm, NOW)
  local number = storm.number
  call('HDEL', BASE .. 's', number .. 'f', number .. 'c', 'r' .. storm.facts.ref)
  call('UNLINK', BASE .. 'a:' .. number, BASE .. 'm:' .. number)
  storms[number] = false
end

local function look_at_storm(member)
  local storm = storm_of(tonumber(member))
  if not storm then
    return
  end
  if is_running(storm) then
    if NOW >= ends_at(storm) then
      end_storm(storm, ends_at(storm), NOW)
    else
      note(BASE .. 'e', ends_at(storm), storm.number)
    end
  elseif storm.living == 0 and is_forgettable(storm) then
    forget_storm(storm)
  else
    note(BASE .. 'e', NOW + LOOK_AGAIN, storm.number)
  end
end

local function is_over(row)
  local longest = 0
  for _, rule in ipairs(POLICY.rules) do longest = math.max(longest, rule.window) end
  if (row.counted_in ~= 0 and NOW - row.first_seen < longest) or is_held(row) or row.flushing then
    return false
  end
  local storm = storm_of(row.storm)
  if storm then
    return is_forgettable(storm)
  end
  return standing(row, NOW) == OVER
end

-- Goes on through a hash where the last call stopped. Looks at about `asked.sweep` of its fields.
local function walk(key, cursor, look)
  local looked = 0
  repeat
    local page = call('HSCAN', key, cursor, 'COUNT', math.min(asked.sweep, 256))
    cursor = page[1]
    for at = 1, #page[2], 2 do
      look(page[2][at], page[2][at + 1])
    end
    looked = looked + #page[2] / 2
  until cursor == '0' or looked >= asked.sweep
  return cursor
end

local function sweep_incident(fingerprint, raw)
  if rows[fingerprint] == nil then
    rows[fingerprint] = decode_row(fingerprint, raw)
  end
  local row = rows[fingerprint]
  if row and is_over(row) then
    let_go(row)
    remove(row)
  end
end

-- Finished requests leave after their time, unless somebody may still be working on them.
local function sweep_closed(ref, raw)
  local a = unpack(raw)
  local phase = unpack(a[3])[phase_field(a)]
  if (phase ~= FINISHED and phase ~= WAITING) or NOW - a[5] < POLICY.retention
    or call('ZSCORE', BASE .. 'y', ref) then
    return
  end
  local doc, status = call('HGET', BASE .. 'd', ref), call('HGET', BASE .. 't', ref)
  closed[ref], docs[ref] = false, false
  call('HDEL', BASE .. 't', ref)
  call('HDEL', BASE .. 'k', ref)
  deleted = deleted + 1
  if doc then
    call('PUBLISH', input.channel, string.format('X %d ', part.sequence) .. pack({ ref, doc, raw, status or '' }))
  end
end

-- A group whose window has run empty is forgotten, all or nothing: which entries still count is decided when it counts.
local function sweep_group(group, window)
  local newest = call('ZREVRANGE', BASE .. 'w:' .. group, 0, 0, 'WITHSCORES')
  if not newest[2] or NOW - tonumber(newest[2]) >= tonumber(window) then
    call('DEL', BASE .. 'w:' .. group)
    drop(BASE .. 'v', group)
  end
end

-- Names what is to be published. It stays noted until it is said to be placed.
local function tell_unpublished()
  if not part.published then
    for _, ref in ipairs(call('ZRANGE', BASE .. 'n', 0, -1)) do unpublish(ref) end
    part.published = true
  end
  if part.told ~= part.epoch then
    -- Another replica was told before, and nobody knows how far it came.
    for _, ref in ipairs(call('ZRANGE', BASE .. 'y', 0, -1)) do call('ZADD', BASE .. 'y', NOW, ref) end
    part.told = part.epoch
  end
  local told = call('ZRANGEBYSCORE', BASE .. 'y', '-inf', NOW, 'LIMIT', 0, asked.tell)
  for _, ref in ipairs(told) do
    call('ZADD', BASE .. 'y', NOW + asked.again, ref)
  end
  return told
end

local function renew(key)
  call('PEXPIRE', BASE .. key, LIFE)
end

for _, member in ipairs(pop_due('h')) do release_hold(member) end
for _, member in ipairs(pop_due('z')) do flush(member) end
repeat
  local ended = pop_due('e')
  for _, member in ipairs(ended) do look_at_storm(member) end
until #ended == 0
if asked.sweep > 0 then
  part.sweep_groups = walk(BASE .. 'v', part.sweep_groups, sweep_group)
  part.sweep = walk(BASE .. 'i', part.sweep, sweep_incident)
  part.sweep_closed = walk(BASE .. 'c', part.sweep_closed, sweep_closed)
end
-- Nothing else in a partition is older than its documents, and keys that came later last longer.
local left = asked.look and call('PTTL', BASE .. 'd') or -1
if left > 0 and left < LIFE - RENEWED then
  for _, key in ipairs({ 'i', 's', 'g', 'd', 'n', 'c', 't', 'h', 'z', 'e', 'v', 'y', 'k' }) do renew(key) end
  for _, number in ipairs(call('HVALS', BASE .. 'g')) do
    renew('m:' .. number)
    renew('a:' .. number)
  end
end
save_all(input.channel)
local told, untold = {}, false
if POLICY.published then
  told = tell_unpublished()
  save_partition()
end

local next_due = 0
for _, agenda in ipairs({ 'h', 'z', 'e', 'y' }) do
  local first = call('ZRANGE', BASE .. agenda, 0, 0, 'WITHSCORES')
  local at = tonumber(first[2])
  if agenda == 'y' and at and at <= NOW then
    untold = true
  elseif at and (next_due == 0 or at < next_due) then
    next_due = at
  end
end
local added, modified = announced()
return pack({ 0, next_due, added, modified, deleted, done >= asked.most, true,
  math.max(call('HLEN', BASE .. 'i'), call('HLEN', BASE .. 'v')), told, untold })
