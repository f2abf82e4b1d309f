-- Deletes the oldest tombstones that are older than a stamp, or more than a line keeps, and returns how many. KEYS: h i g.
-- ARGV: the stamp, the limit, how many a line keeps.
local call = redis.call
local limit = tonumber(ARGV[2])
local found = call('ZRANGEBYSCORE', KEYS[3], '(0', '(' .. ARGV[1], 'WITHSCORES', 'LIMIT', 0, limit)
-- One element is no tombstone (open-line.lua); it is the first.
local excess = math.min(limit, call('ZCARD', KEYS[3]) - 1 - tonumber(ARGV[3]))
if excess * 2 > #found then found = call('ZRANGE', KEYS[3], 1, excess, 'WITHSCORES') end
if #found == 0 then return 0 end
call('HSET', KEYS[1], 'forgotten', string.format('%.0f', tonumber(found[#found])))
local fields = {}
for at = 1, #found, 2 do fields[#fields + 1] = found[at] end
for from = 1, #fields, 4000 do
  local to = math.min(from + 3999, #fields)
  call('HDEL', KEYS[2], unpack(fields, from, to))
  call('ZREM', KEYS[3], unpack(fields, from, to))
end
return #fields
