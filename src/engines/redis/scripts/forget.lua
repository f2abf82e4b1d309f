-- Deletes the oldest tombstones that are older than a stamp and returns how many. KEYS: h i g. ARGV: the stamp, the limit.
local call = redis.call
local found = call('ZRANGEBYSCORE', KEYS[3], '(0', '(' .. ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
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
