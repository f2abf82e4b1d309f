-- Applies any commits to a line, or nothing; begin.lua comes before it. All checks come before all writes, because a
-- script that fails does not take back what it wrote. The same promises as engines/memory/commit.ts, on packed records
-- (record.ts).
local nodeId, fields, nameLengths, commits = group[7], group[8], group[9], group[10]

local function decode(bytes)
  local kind, revision, at = unpackBytes('>Bd', bytes)
  local r = { kind = kind, rev = revision, clock = revision, node = '', tomb = band(kind, TOMB) ~= 0 }
  if band(kind, STAMPED) ~= 0 then r.clock, at = unpackBytes('>d', bytes, at) end
  if band(kind, FOREIGN) ~= 0 then r.node, at = unpackBytes('>Bc0', bytes, at) end
  if r.tomb then return r end
  r.created, r.flags, at = unpackBytes('>dI4', bytes, at)
  r.expires = none
  if band(kind, ENDS) ~= 0 then r.expires, at = unpackBytes('>d', bytes, at) end
  r.type = ''
  if band(kind, TYPED) ~= 0 then r.type, at = unpackBytes('>Hc0', bytes, at) end
  r.text, r.large = band(kind, TEXT) ~= 0, band(kind, LARGE) ~= 0
  if r.large then r.bytes = unpackBytes('>I4', bytes, at)
  else
    r.value = string.sub(bytes, at)
    r.bytes = #r.value
  end
  return r
end

local function encode(r)
  local kind, parts = 0, {}
  if r.clock ~= r.rev then
    kind = kind + STAMPED
    parts[#parts + 1] = pack('>d', r.clock)
  end
  if r.node ~= '' then
    kind = kind + FOREIGN
    parts[#parts + 1] = pack('>B', #r.node) .. r.node
  end
  if r.tomb then
    kind = kind + TOMB
    if r.cause == 1 then kind = kind + EXPIRED end
  else
    parts[#parts + 1] = pack('>dI4', r.created, r.flags)
    if r.expires ~= none then
      kind = kind + ENDS
      parts[#parts + 1] = pack('>d', r.expires)
    end
    if r.type ~= '' then
      kind = kind + TYPED
      parts[#parts + 1] = pack('>H', #r.type) .. r.type
    end
    if r.text then kind = kind + TEXT end
    if r.large then
      kind = kind + LARGE
      parts[#parts + 1] = pack('>I4', r.bytes)
    else
      parts[#parts + 1] = r.value
    end
  end
  return pack('>Bd', kind, r.rev) .. table.concat(parts)
end

-- The stored record of each field: `was` before the group, `is` by now; false for none.
local was, is = {}, {}
for from = 1, #fields, 4000 do
  local to = math.min(from + 3999, #fields)
  local found = call('HMGET', i, unpack(fields, from, to))
  for at = 1, #found do
    local record = found[at] and decode(found[at]) or false
    was[from + at - 1], is[from + at - 1] = record, record
  end
end

local changes, undo = {}, nil
-- What collections have grown by, and what they had, where a quota asks for that.
local grownMembers, grownBytes, sizes = {}, {}, {}

local function nameOf(ref) return string.sub(fields[ref], 1, nameLengths[ref]) end
local function living(record) return record and not record.tomb end
local function sizeOf(ref, record)
  return living(record) and (#fields[ref] - nameLengths[ref] - 1 + record.bytes) or 0
end

local function set(ref, record)
  local old, name = is[ref], nameOf(ref)
  if undo then undo[#undo + 1] = { ref, old } end
  grownMembers[name] = (grownMembers[name] or 0) + (living(record) and 1 or 0) - (living(old) and 1 or 0)
  grownBytes[name] = (grownBytes[name] or 0) + sizeOf(ref, record) - sizeOf(ref, old)
  is[ref] = record
end

local function observe(stamp) if stamp > clock then clock = stamp end end
local function nextRevision()
  rev = math.max(rev, clock) + 1
  clock = rev
  return rev
end

local function lives(expires, nowMs) return expires == none or expires > nowMs end
local function isLater(expires, than) return than ~= none and (expires == none or expires > than) end

-- `effectOf` of core/origin.ts; `expires` is false of a tombstone.
local function effectOf(stamp, node, expires, stored, nowMs)
  local storedNode = stored.node == '' and nodeId or stored.node
  local storedExpires = not stored.tomb and stored.expires
  if stamp ~= stored.clock then return stamp > stored.clock and 'replace' or 'none' end
  if node ~= storedNode then return node > storedNode and 'replace' or 'none' end
  if not expires then
    return (not storedExpires or lives(storedExpires, nowMs)) and 'none' or 'replace'
  end
  if not storedExpires then return lives(expires, nowMs) and 'replace' or 'none' end
  return isLater(expires, storedExpires) and 'renew' or 'none'
end

local function renew(ref, record, expires)
  local new = {}
  for name, value in pairs(record) do new[name] = value end
  if isLater(record.expires, expires) then
    new.clock, new.node = record.clock + 1, ''
    observe(new.clock)
  end
  new.expires = expires
  set(ref, new)
  changes[#changes + 1] = { ref, new, true }
  return { new.rev, new.created, new.clock, 1, new.node, encode(new) }
end

local function putRecord(write, revision, stamp, node, created)
  local value, size = write[3], write[5]
  local isLarge = type(value) == 'number'
  return {
    tomb = false, rev = revision, clock = stamp, node = node, created = created, flags = write[7], expires = write[8],
    type = write[6], text = write[4] == 1, large = isLarge, bytes = size,
    value = not isLarge and value, argument = isLarge and value,
  }
end

local function keep(ref, record)
  set(ref, record)
  changes[#changes + 1] = { ref, record, false }
end

-- A write that brings its origin: it is done if it is newer than what is stored.
local function applyForeign(write, ref, isPut, stamp, node, existing, existed, nowMs)
  local stored, versus = is[ref], { false, '', 0, 0 }
  local effect = 'replace'
  if stored then
    versus = { stored.clock, stored.node, stored.rev, stored.tomb and 1 or 0 }
    effect = effectOf(stamp, node, isPut and write[8], stored, nowMs)
  end
  if effect == 'none' then return { -2, versus[1], versus[2], versus[3], versus[4] } end
  observe(stamp)
  local result
  if effect == 'renew' then
    result = renew(ref, existing, write[8])
    result[4] = existed and 1 or 0
  else
    local own = node == nodeId and '' or node
    local revision = nextRevision()
    if isPut then
      keep(ref, putRecord(write, revision, stamp, own, write[11]))
      result = { revision, write[11], stamp, existed and 1 or 0, own, false }
    else
      keep(ref, { tomb = true, cause = write[3], rev = revision, clock = stamp, node = own })
      result = { revision, 0, stamp, existed and 1 or 0, own, false }
    end
  end
  for at = 1, 4 do result[6 + at] = versus[at] end
  return result
end

local function apply(write, nowMs, known)
  local op, ref = write[1], write[2]
  local existing = living(is[ref]) and is[ref]
  local existed = existing and lives(existing.expires, nowMs)
  if op == 3 then
    if not existed or existing.rev ~= write[4] or write[4] > known then return 0 end
    return renew(ref, existing, write[3])
  end
  local isPut = op == 1
  local stamp = isPut and write[9] or write[6]
  local isForeign = stamp ~= none
  if not isPut then
    local ifRevision, ifExpires = write[4], write[5]
    if ifExpires ~= none and not (existing and existing.expires == ifExpires) then return 0 end
    if ifRevision ~= none then
      if not existing or existing.rev ~= ifRevision then return 0 end
    elseif not existed and not isForeign then
      return 0
    end
  end
  if isForeign then
    return applyForeign(write, ref, isPut, stamp, isPut and write[10] or write[7], existing, existed, nowMs)
  end
  local created = existed and existing.created or nowMs
  local revision = nextRevision()
  local replaced = existed and 1 or 0
  if isPut then
    keep(ref, putRecord(write, revision, revision, '', created))
    return { revision, created, revision, replaced }
  end
  local of, node = revision, ''
  if write[3] == 1 and existing then of, node = existing.clock, existing.node end
  keep(ref, { tomb = true, cause = write[3], rev = revision, clock = of, node = node })
  return { revision, created, of, replaced, node }
end

local function exceeded(quotaAt, limitIndex, limit, used, needed, writeAt)
  if limit == none or needed <= limit or needed <= used then return nil end
  return { quotaAt, limitIndex, used, needed, writeAt }
end

-- Applies a write unless it follows one that was not done: `results` are those before it, the first of them at `base + 1`.
local function applyAfter(write, results, base, nowMs, known)
  local ifDone = write[1] == 1 and write[12] or write[1] == 2 and write[8] or none
  if ifDone ~= none then
    local earlier = results[base + ifDone + 1]
    if earlier == 0 or earlier[1] <= known then return 0 end
  end
  return apply(write, nowMs, known)
end

-- Applies writes together unless they pass a quota; returns their results, or the quota.
local function applyWithin(writes, from, to, nowMs, known, quotas)
  local savedRev, savedClock, savedChanges = rev, clock, #changes
  local startMembers, startBytes = {}, {}
  for at, quota in ipairs(quotas) do
    startMembers[at], startBytes[at] = grownMembers[quota[1]] or 0, grownBytes[quota[1]] or 0
  end
  undo = {}
  local results, found = {}, nil
  for at = from, to do
    local ref = writes[at][2]
    local old = is[ref]
    results[#results + 1] = applyAfter(writes[at], results, 0, nowMs, known)
    local new = is[ref]
    if new ~= old and living(new) and not found then
      for q, quota in ipairs(quotas) do
        if quota[1] == nameOf(ref) then
          local used = (living(old) and lives(old.expires, nowMs)) and old.bytes or 0
          found = exceeded(q, 3, quota[4], used, new.bytes, at)
        end
      end
    end
  end
  if not found then
    for q, quota in ipairs(quotas) do
      local name, size = quota[1], sizes[quota[1]]
      local members, bytes = size[1] + quota[5], size[2] + quota[6]
      found = exceeded(q, 1, quota[2], members + startMembers[q], members + (grownMembers[name] or 0), 0)
        or exceeded(q, 2, quota[3], bytes + startBytes[q], bytes + (grownBytes[name] or 0), 0)
      if found then break end
    end
  end
  local steps = undo
  undo = nil
  if not found then return results end
  for at = #steps, 1, -1 do set(steps[at][1], steps[at][2]) end
  rev, clock = savedRev, savedClock
  for at = #changes, savedChanges + 1, -1 do changes[at] = nil end
  return nil, found
end

local function failedCheck(checks, nowMs)
  for at = 1, #checks, 4 do
    local record = is[checks[at]]
    local found = living(record) and (checks[at + 3] == 1 or lives(record.expires, nowMs)) and record
    local revision = found and found.rev or none
    local isSame = not found or checks[at + 2] == -2 or found.expires == checks[at + 2]
    if revision ~= checks[at + 1] or not isSame then return { 0, (at + 3) / 4, revision } end
  end
end

local function applyCommit(commit)
  local nowMs, floor, isApart, checks, writes, quotas = unpack(commit)
  local failed = failedCheck(checks, nowMs)
  if failed then return failed end
  local known = rev
  observe(floor)
  for _, quota in ipairs(quotas) do
    if not sizes[quota[1]] then
      local found = call('HMGET', s, 'm' .. quota[1], 'b' .. quota[1])
      sizes[quota[1]] = { tonumber(found[1] or 0), tonumber(found[2] or 0) }
    end
  end
  local result = { 1 }
  if #quotas == 0 then
    for at = 1, #writes do result[at + 1] = applyAfter(writes[at], result, 1, nowMs, known) end
    return result
  end
  if isApart == 0 then
    local results, found = applyWithin(writes, 1, #writes, nowMs, known, quotas)
    if found then return { 2, unpack(found) } end
    for at = 1, #results do result[at + 1] = results[at] end
    return result
  end
  for at = 1, #writes do
    local results, found = applyWithin(writes, at, at, nowMs, known, quotas)
    result[at + 1] = found and { -1, unpack(found) } or results[1]
  end
  return result
end

local reply = { before, 0 }
for at = 1, #commits do reply[at + 2] = applyCommit(commits[at]) end
-- Stamps that failed checks or other nodes' writes have only observed are no revisions.
reply[2] = rev

writeHead(reply)

local encoded = {}
local function encodedOf(record)
  local bytes = encoded[record]
  if not bytes then
    bytes = encode(record)
    encoded[record] = bytes
  end
  return bytes
end

local batches = {}
local function add(command, key, ...)
  local name = command .. key
  local batch = batches[name]
  if not batch then
    batch = { command, key }
    batches[name] = batch
  end
  for at = 1, select('#', ...) do batch[#batch + 1] = (select(at, ...)) end
  if #batch > 4000 then
    call(unpack(batch))
    batches[name] = nil
  end
end

-- What is sent to the other servers of this store, as far as it is small.
local messages, messageBytes = {}, 0
for at = 1, #changes do
  local ref, record, isRenewal = changes[at][1], changes[at][2], changes[at][3]
  local value = ''
  if record.large then
    messageBytes = messageBytes + record.bytes
    if messageBytes <= maxPublished then
      value = record.argument and ARGV[record.argument] or call('HGET', v, fields[ref]) or ''
    end
  end
  local bytes = encodedOf(record)
  messageBytes = messageBytes + #fields[ref] + #bytes + 11
  if messageBytes > maxPublished then break end
  messages[#messages + 1] = pack('>BHI4I4', isRenewal and 1 or 0, #fields[ref], #bytes, #value)
    .. fields[ref] .. bytes .. value
end

for ref = 1, #fields do
  local old, new, field = was[ref], is[ref], fields[ref]
  if old ~= new then
    add('HSET', i, field, encodedOf(new))
    if new.large then
      if new.argument then call('HSET', v, field, ARGV[new.argument]) end
    elseif old and old.large then
      add('HDEL', v, field)
    end
    local lived, isLiving = living(old), living(new)
    if isLiving and not lived then add('ZADD', o, '0', field) end
    if lived and not isLiving then add('ZREM', o, field) end
    if not old or old.rev ~= new.rev then
      if old and lived ~= isLiving then add('ZREM', lived and l or g, field) end
      add('ZADD', isLiving and l or g, score(new.rev), field)
    end
    local ended, ends = lived and old.expires or none, isLiving and new.expires or none
    if ends ~= ended then
      if ends == none then add('ZREM', x, field) else add('ZADD', x, score(ends), field) end
    end
  end
end
for _, batch in pairs(batches) do call(unpack(batch)) end
for name, members in pairs(grownMembers) do
  if members ~= 0 or grownBytes[name] ~= 0 then
    local left = call('HINCRBY', s, 'm' .. name, members)
    call('HINCRBY', s, 'b' .. name, grownBytes[name])
    if left == 0 then call('HDEL', s, 'm' .. name, 'b' .. name) end
  end
end

if #changes > 0 or rev ~= before then publish(messageBytes <= maxPublished and table.concat(messages)) end
return reply
