-- Returns the members that expire up to a time, the earliest first: field, time and record of each. KEYS: x i h.
-- ARGV: the time, the limit, and the server that sweeps, for which there are none while another has the lease (lease.lua); '' for all.
if ARGV[3] ~= '' then
  local time = redis.call('TIME')
  local holder, untilMs = string.match(redis.call('HGET', KEYS[3], 'lease') or '', '^(%S+) (%d+)$')
  if holder and holder ~= ARGV[3] and tonumber(untilMs) > tonumber(time[1]) * 1000 then return {} end
end
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '0', ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local result = {}
for at = 1, #found, 2 do
  result[#result + 1] = found[at]
  result[#result + 1] = found[at + 1]
  result[#result + 1] = redis.call('HGET', KEYS[2], found[at])
end
return result
