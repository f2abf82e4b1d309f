-- Returns the members that expire up to a time, the earliest first: field, time and record of each. KEYS: x i.
-- ARGV: the time, the limit.
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '0', ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local result = {}
for at = 1, #found, 2 do
  result[#result + 1] = found[at]
  result[#result + 1] = found[at + 1]
  result[#result + 1] = redis.call('HGET', KEYS[2], found[at])
end
return result
