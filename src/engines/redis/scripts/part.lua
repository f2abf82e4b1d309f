-- Returns the record of a field and, if it is a large one, a part of its value. KEYS: i v. ARGV: the field, and the first
-- and the last byte, counted from 1.
local record = redis.call('HGET', KEYS[1], ARGV[1])
if not record or bit.band(string.byte(record, 1), 8) == 0 then return { record, false } end
local value = redis.call('HGET', KEYS[2], ARGV[1])
return { record, value and string.sub(value, tonumber(ARGV[2]), tonumber(ARGV[3])) }
