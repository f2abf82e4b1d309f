-- Returns the latest change of each member after a revision, sorted by revision, after: the head, the newest forgotten
-- tombstone, the gaps, how far the page goes, and whether it goes to the end. KEYS: h i l g. ARGV: the revision, the
-- limit, the beginning of the fields in scope ('' for all), how many changes may be examined, and a field for the latest
-- change of that alone, or ''.
local call = redis.call
local after, limit, prefix, maxExamined = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local head = call('HMGET', KEYS[1], 'rev', 'forgotten', 'gaps')
local rev = tonumber(head[1] or 0)
local result = { rev, tonumber(head[2] or 0), head[3] or '', rev, 1 }
if ARGV[5] ~= '' then
  result[6], result[7] = ARGV[5], call('HGET', KEYS[2], ARGV[5])
  return result
end

local count = prefix == '' and limit + 1 or maxExamined
local lists, at, horizon = {}, { 1, 1 }, nil
for n = 1, 2 do
  lists[n] = call('ZRANGEBYSCORE', KEYS[2 + n], '(' .. after, '+inf', 'WITHSCORES', 'LIMIT', 0, count)
  if #lists[n] == 2 * count then
    local last = tonumber(lists[n][2 * count])
    if not horizon or last < horizon then horizon = last end
  end
end
local fields, through, atEnd = {}, tonumber(after), not horizon
while true do
  local first, second = tonumber(lists[1][at[1] + 1]), tonumber(lists[2][at[2] + 1])
  local n = (not second or (first and first < second)) and 1 or 2
  local score = n == 1 and first or second
  if not score or (horizon and score > horizon) then break end
  local field = lists[n][at[n]]
  if prefix == '' or string.sub(field, 1, #prefix) == prefix then
    if #fields == limit then
      atEnd = false
      break
    end
    fields[#fields + 1] = field
  end
  through = score
  at[n] = at[n] + 2
end
if not atEnd then result[4], result[5] = through, 0 end
for from = 1, #fields, 4000 do
  local to = math.min(from + 3999, #fields)
  local records = call('HMGET', KEYS[2], unpack(fields, from, to))
  for n = 1, #records do
    result[#result + 1] = fields[from + n - 1]
    result[#result + 1] = records[n]
  end
end
return result
