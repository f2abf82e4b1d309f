-- The beginning of puts.lua and commits.lua. Reads the head of the line, returns the result of a group that was applied
-- before, and refuses one whose clock is off, or whose server knows less of the indexes than one that has written to the line.
--
-- KEYS: h i v o l g x s (layout.ts). ARGV: the group (group.ts), the channel, the run id of this server,
-- and the large values.
local call, pack, unpackBytes = redis.call, struct.pack, struct.unpack
local band = bit.band
local group = cmsgpack.unpack(ARGV[1])
local instance, seq, wallMs, maxSkewMs, maxPublished, view = unpack(group, 1, 6)
local h, i, v, o, l, g, x, s = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local TOMB, EXPIRED, TEXT, LARGE, TYPED, FOREIGN, ENDS, STAMPED = 1, 2, 4, 8, 16, 32, 64, 128
local none = -1

local head = call('HMGET', h, 'rev', 'clock', 'owner', 'n' .. instance, 'view')
local rev, clock = tonumber(head[1] or 0), tonumber(head[2] or 0)
if head[4] then
  local last = cmsgpack.unpack(head[4])
  if last[1] == seq then
    -- Written again, so that WAIT waits for it.
    call('HSET', h, 'n' .. instance, head[4])
    return last[3]
  end
  if last[1] > seq then return redis.error_reply('STALE a later group of this server was applied') end
end
if head[5] and tonumber(head[5]) > view then return redis.error_reply('VIEW ' .. head[5]) end
local time = call('TIME')
local serverMs = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if math.abs(serverMs - wallMs) > maxSkewMs then
  return redis.error_reply('SKEW ' .. string.format('%.0f', serverMs))
end

-- Another server wrote the line before, so what that wrote last may be lost: revisions up to here are not used again.
local before, owner, gaps = rev, ARGV[3], nil
local isNewOwner = head[3] ~= owner
if isNewOwner and head[3] then
  local first = math.max(rev, clock, serverMs * 2048) + 2 * maxSkewMs * 2048
  gaps = (call('HGET', h, 'gaps') or '') .. pack('>dd', rev, first)
  if #gaps > 1024 then
    -- The two oldest become one.
    gaps = string.sub(gaps, 1, 8) .. string.sub(gaps, 25)
  end
  rev, clock = first, first
end

local function score(number) return string.format('%.0f', number) end

-- The first write of a group. It is refused if memory is full; no later one is.
local function writeHead(reply)
  local state = { 'rev', score(rev), 'n' .. instance, cmsgpack.pack({ seq, serverMs, reply }) }
  local function add(name, value)
    state[#state + 1] = name
    state[#state + 1] = value
  end
  if clock > rev then add('clock', score(clock)) end
  if isNewOwner then add('owner', owner) end
  if gaps then add('gaps', gaps) end
  if view > tonumber(head[5] or 0) then add('view', score(view)) end
  call('HSET', h, unpack(state))
end

-- Reports the group to the servers of this store; `messages` is false if its changes are too large to be sent.
local function publish(messages)
  local about = pack('>ddBB', before, rev, messages and 1 or 0, #instance) .. instance
  call('SPUBLISH', ARGV[2], about .. (messages or ''))
end
