-- Returns the record of each field and, if it is a large one, its value. KEYS: i v. ARGV: the fields.
local result = {}
for from = 1, #ARGV, 4000 do
  local to = math.min(from + 3999, #ARGV)
  local records = redis.call('HMGET', KEYS[1], unpack(ARGV, from, to))
  for at = 1, #records do
    local record = records[at]
    local isLarge = record and bit.band(string.byte(record, 1), 8) ~= 0
    result[#result + 1] = record
    result[#result + 1] = isLarge and redis.call('HGET', KEYS[2], ARGV[from + at - 1])
  end
end
return result
