-- Applies puts that have no conditions, no quotas, no origin and no large values; begin.lua comes before it. It does what commits.lua would do, in less time.
local fields, puts = group[7], group[8]
local old = call('HMGET', i, unpack(fields))
local records, revisions, results, messages = {}, {}, {}, {}
local begun, buried, withLarge = {}, {}, {}
-- By field: the record that an earlier put of the group made, and the new expiry; by collection: what it has grown by.
local latest, ends, grown = {}, {}, nil
local messageBytes = 0

-- Of a record: its creation time, expiry, and the bytes of its value; nil of a tombstone.
local function contentOf(record)
  local kind = string.byte(record)
  if band(kind, TOMB) ~= 0 then return nil end
  local at = 10
  if band(kind, STAMPED) ~= 0 then at = at + 8 end
  if band(kind, FOREIGN) ~= 0 then at = at + 1 + string.byte(record, at) end
  local created, expires = unpackBytes('>d', record, at), none
  at = at + 12
  if band(kind, ENDS) ~= 0 then
    expires = unpackBytes('>d', record, at)
    at = at + 8
  end
  if band(kind, TYPED) ~= 0 then at = at + 2 + unpackBytes('>H', record, at) end
  return created, expires, band(kind, LARGE) ~= 0 and unpackBytes('>I4', record, at) or #record - at + 1
end

local function grow(field, members, bytes)
  local name = string.sub(field, 1, string.find(field, '\0', 1, true) - 1)
  grown = grown or {}
  local sum = grown[name] or { 0, 0 }
  grown[name] = sum
  sum[1], sum[2] = sum[1] + members, sum[2] + bytes + members * (#field - #name - 1)
end

for at = 1, #fields do
  local from, field = 6 * at - 5, fields[at]
  local existing = latest[field] or old[at]
  local floor, nowMs, kind, expires = puts[from], puts[from + 1], puts[from + 2], puts[from + 3]
  local created, ended, bytes, replaced = nil, none, 0, 0
  if existing then created, ended, bytes = contentOf(existing) end
  if not created then
    if existing then buried[#buried + 1] = field end
    begun[#begun + 1] = '0'
    begun[#begun + 1] = field
    grow(field, 1, puts[from + 4])
    created, ended = nowMs, none
  else
    if bytes ~= puts[from + 4] then grow(field, 0, puts[from + 4] - bytes) end
    if band(string.byte(existing), LARGE) ~= 0 then withLarge[#withLarge + 1] = field end
    if ended == none or ended > nowMs then replaced = 1 else created = nowMs end
  end
  rev = math.max(rev, clock, floor) + 1
  clock = rev
  if expires ~= ended then ends[field] = expires end
  local record = pack('>Bddc0', kind, rev, created, puts[from + 5])
  latest[field] = record
  local two, three, six = 2 * at, 3 * at, 6 * at
  records[two - 1], records[two] = field, record
  revisions[two - 1], revisions[two] = rev, field
  results[three - 2], results[three - 1], results[three] = rev, created, replaced
  messages[six - 5], messages[six - 4], messages[six - 3] = 0, #field, #record
  messages[six - 2], messages[six - 1], messages[six] = 0, field, record
  messageBytes = messageBytes + #field + #record + 11
end

-- One call for all is less work than one for each.
local reply = pack('>dd' .. string.rep('ddB', #fields), before, rev, unpack(results))
writeHead(reply)
call('HSET', i, unpack(records))
call('ZADD', l, unpack(revisions))
if #begun > 0 then call('ZADD', o, unpack(begun)) end
if #buried > 0 then call('ZREM', g, unpack(buried)) end
for field, expires in pairs(ends) do
  if expires == none then call('ZREM', x, field) else call('ZADD', x, expires, field) end
end
if #withLarge > 0 then call('HDEL', v, unpack(withLarge)) end
if grown then
  for name, sum in pairs(grown) do
    if sum[1] ~= 0 then call('HINCRBY', s, 'm' .. name, sum[1]) end
    call('HINCRBY', s, 'b' .. name, sum[2])
  end
end
publish(messageBytes <= maxPublished and pack('>' .. string.rep('BHI4I4c0c0', #fields), unpack(messages)))
return reply
