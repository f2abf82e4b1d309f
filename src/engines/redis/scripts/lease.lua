-- Lets one server sweep a line for a while: returns 1 if it is this one, 0 if another has it. KEYS: h. ARGV: the server, how long, in milliseconds.
local time = redis.call('TIME')
local nowMs = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local lease = redis.call('HGET', KEYS[1], 'lease')
local holder, untilMs = string.match(lease or '', '^(%S+) (%d+)$')
if holder and holder ~= ARGV[1] and tonumber(untilMs) > nowMs then return 0 end
redis.call('HSET', KEYS[1], 'lease', ARGV[1] .. ' ' .. string.format('%.0f', nowMs + tonumber(ARGV[2])))
return 1
