-- New incidents: join an open storm, be counted, or get a request of their own.

local function decode_entries(flat)
  local entries = {}
  for at = 1, #flat, 2 do
    local member = flat[at]
    entries[#entries + 1] = {
      at = tonumber(flat[at + 1]), member = member, order = tonumber(string.sub(member, 1, 12), 16),
      bit = string.byte(member, 13), fingerprint = string.sub(member, 14),
    }
  end
  return entries
end

-- Under which name an incident stands in a window: in order of opening, and by the bit of the rule that counts it.
local function entry_of(order, rule_bit, fingerprint)
  return string.format('%012x', order) .. string.char(rule_bit) .. fingerprint
end

-- Whether an entry still counts: members of storms count for no other rule, and a reopened problem counts only where it
-- was counted last. The order of opening tells whether it is the same incident; the time would not: a problem may be over
-- and open again within one millisecond.
local function counts(entry)
  local row = incident(entry.fingerprint)
  return row and row.order == entry.order and not is_member(row)
    and bit.band(row.counted_in, bit.lshift(1, entry.bit)) ~= 0
end

-- A group's time never goes backwards.
local function time_of_group(group, now)
  local newest = newest_of[group.key]
  if newest == nil then
    newest = tonumber(call('ZREVRANGE', BASE .. 'w:' .. group.key, 0, 0, 'WITHSCORES')[2] or 0)
    newest_of[group.key] = newest
  end
  now = math.max(now, newest)
  local storm = storm_of_group(group.key)
  if storm and is_running(storm) then
    now = math.max(now, storm.last_seen)
  end
  return now
end

-- The first group's open storm, after ending those that have been quiet for too long.
local function storm_to_join(groups, now)
  for _, group in ipairs(groups) do
    local storm = storm_of_group(group.key)
    if storm then
      if now < ends_at(storm) then
        return storm
      end
      end_storm(storm, ends_at(storm), now)
    end
  end
  return nil
end

-- The request that the previous incident of this problem counted on.
local function counted_on(row)
  local storm = storm_of(row.storm)
  return name_of(storm and storm.facts.ref or own_ref(row))
end

-- A new incident in place of the old one, whose own request is final.
local function admit(signal, now, old)
  local second = math.max(1, math.floor(now / 1000))
  local last = old and old.generation
  if second <= part.floor then
    last = math.max(last or 0, part.floor)
  end
  if old then
    let_go(old)
  end
  local row = {
    fingerprint = signal.fingerprint, first_seen = now, count = 1, last_seen = now, resolved_at = 0, flaps = 0,
    severity = signal.severity, priority = signal.priority, path = signal.path, phase = WAITING, released_at = 0,
    hold_until = 0, counted_in = 0, generation = last and math.max(second, last + 1) or second, storm = 0, seen = 0,
    opening = ALONE, order = part.openings, flushing = false, told = NOW, links = {},
    namespace = signal.namespace, name = signal.name, kind = signal.kind, resource = signal.resource,
  }
  part.openings = part.openings + 1
  rows[signal.fingerprint] = row
  touch(row)
  return row
end

-- Adds the arrival to a group. Returns how many new incidents its window holds and, when that may be enough, which.
local function count(arrival, rule, group, rule_bit, old)
  local key = BASE .. 'w:' .. group.key
  local row = arrival.row
  row.counted_in = bit.bor(row.counted_in, bit.lshift(1, rule_bit))
  if old then
    for other = 0, #arrival.signal.groups - 1 do
      call('ZREM', key, entry_of(old.order, other, row.fingerprint))
    end
  end
  call('ZADD', key, arrival.now, entry_of(row.order, rule_bit, row.fingerprint))
  newest_of[group.key] = arrival.now
  call('ZREMRANGEBYSCORE', key, '-inf', arrival.now - rule.window)
  -- Longer than the window, because clocks of replicas and of this server differ.
  call('PEXPIRE', key, 2 * rule.window + 60000)
  local size = call('ZCARD', key)
  if size == 1 then
    put(BASE .. 'v', group.key, rule.window)
  end
  local entries
  if size >= rule.threshold then
    -- Only now does it matter which of them still count.
    entries = {}
    for _, entry in ipairs(decode_entries(call('ZRANGE', key, 0, -1, 'WITHSCORES'))) do
      if counts(entry) then
        entries[#entries + 1] = entry
      else
        call('ZREM', key, entry.member)
      end
    end
    size = #entries
  end
  row.seen = math.max(row.seen, size)
  return size, entries
end

-- Whether another new incident came into the group less than `hold` ago.
local function is_burst(arrival, group, hold)
  local key, at = BASE .. 'w:' .. group.key, 0
  while true do
    local newest = call('ZREVRANGE', key, at, at + 7, 'WITHSCORES')
    if #newest == 0 then
      return false
    end
    for _, entry in ipairs(decode_entries(newest)) do
      if arrival.now - entry.at >= hold then
        return false
      end
      if entry.fingerprint ~= arrival.row.fingerprint and counts(entry) then
        return true
      end
    end
    at = at + 8
  end
end

-- Until when the request waits, because a rule may still trip: from the second new signal of a group inside a burst.
local function hold_of(arrival, groups)
  local hold, first = 0, 0
  for _, group in ipairs(groups) do
    local rule = POLICY.rules[group.rule]
    if rule.hold > 0 and rule.threshold > 1 and is_burst(arrival, group, rule.hold) then
      hold = math.max(hold, rule.hold)
    end
    first = math.max(first, rule.hold_first)
  end
  if hold == 0 then hold = first end
  return hold > 0 and arrival.now + hold or 0
end

-- A request of its own, at once or after the hold.
local function stand_alone(arrival, groups)
  local row = arrival.row
  row.hold_until = hold_of(arrival, groups)
  local ref = write_doc(arrival)
  if row.hold_until ~= 0 then
    row.opening = HELD
    part.held = part.held + 1
    note(BASE .. 'h', row.hold_until, 'i' .. row.fingerprint)
    return 'accepted', false
  end
  announce('A', ref)
  return 'created', false
end

-- Opens an incident for a problem that is unknown, or known to be over.
local function open(signal, now, old)
  local groups = signal.groups
  for _, group in ipairs(groups) do
    now = time_of_group(group, now)
  end
  local storm = storm_to_join(groups, now)
  local previous = old and counted_on(old) or ''
  local row = admit(signal, now, old)
  local arrival = { signal = signal, now = now, row = row, previous = previous }
  if storm then
    if now - storm.facts.opened_at >= storm.facts.max_duration then
      return row, roll_over(arrival, storm)
    end
    row.opening = JOINED
    join(storm, row, 1, now)
    return row, 'aggregated', false
  end
  for at, group in ipairs(groups) do
    local rule = POLICY.rules[group.rule]
    local size, entries = count(arrival, rule, group, at - 1, old)
    if entries and size >= rule.threshold then
      return row, trip(arrival, rule, group.key, entries)
    end
  end
  return row, stand_alone(arrival, groups)
end
