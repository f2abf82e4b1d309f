-- Returns fields of members in the order of their keys, each with its record. KEYS: o i.
-- ARGV: the command (ZRANGEBYLEX, or ZREVRANGEBYLEX with its bounds the other way round), both bounds, and the limit.
local found = redis.call(ARGV[1], KEYS[1], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
local result = {}
for from = 1, #found, 4000 do
  local to = math.min(from + 3999, #found)
  local records = redis.call('HMGET', KEYS[2], unpack(found, from, to))
  for at = 1, #records do
    result[#result + 1] = found[from + at - 1]
    result[#result + 1] = records[at]
  end
end
return result
