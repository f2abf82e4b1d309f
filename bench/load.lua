-- One load for wrk, told by the arguments after `--`:
--   1 the request as raw HTTP, with one mark in it: {key}, {key64} (base64), {keys} (a hundred neighbours, joined by
--     "/"), {names:N} (N keys at random, joined by "/") or {refs:N} (the same as JSON for POST /v1/_read); behind {key},
--     each {number} is replaced by eight digits, the same for all in a request
--   2 how keys are chosen: one | random
--   3 how many members there are
--   4 the seed: the same one gives every contestant the same keys in the same order
-- Pieces of keys and whole requests of a hundred keys are made beforehand, so that the client costs little and every
-- contestant about the same.

local hundredRequests = 2000
-- Keys in all requests that are made beforehand with many keys at random.
local preparedKeys = 400000

local alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

local function base64OfThree(text)
  local a, b, c = text:byte(1, 3)
  local bits = a * 65536 + b * 256 + c
  local out = ''
  for shift = 3, 0, -1 do
    local at = math.floor(bits / 64 ^ shift) % 64 + 1
    out = out .. alphabet:sub(at, at)
  end
  return out
end

local function digits(count, encode)
  local pieces = {}
  for i = 0, 10 ^ count - 1 do
    pieces[i] = encode(string.format('%0' .. count .. 'd', i))
  end
  return pieces
end

local function plainKeys()
  local four = digits(4, function(text) return text end)
  return function(i)
    return 'key-' .. four[math.floor(i / 10000)] .. four[i % 10000]
  end
end

-- "key-" and eight digits are twelve bytes, four groups of three: base64 of the whole is that of the groups.
local function base64Keys()
  local first = base64OfThree('key')
  local two = digits(2, function(text) return base64OfThree('-' .. text) end)
  local three = digits(3, base64OfThree)
  return function(i)
    return first .. two[math.floor(i / 1000000)] .. three[math.floor(i / 1000) % 1000] .. three[i % 1000]
  end
end

local function hundredKeys(plain)
  return function(i)
    local keys = {}
    for n = 0, 99 do
      keys[n + 1] = plain(i + n)
    end
    return table.concat(keys, '/')
  end
end

-- Requests with many keys at random: one in a pool of them.
local function randomKeys(plain, count, before, after, between, members)
  local keys = {}
  for n = 1, count do
    keys[n] = before .. plain(math.random(0, members - 1)) .. after
  end
  return table.concat(keys, between)
end

local many = {
  names = { '', '', '/' },
  refs = { '{"collection":"bench","key":"', '"}', ',' },
}

local function manyAt(template)
  local from, to, name, count = template:find('{(%a+):(%d+)}')
  if not from then return nil end
  return template:sub(1, from - 1), template:sub(to + 1), many[name], tonumber(count)
end

local function splitAt(template)
  for _, name in ipairs({ 'key', 'key64', 'keys' }) do
    local mark = '{' .. name .. '}'
    local from, to = template:find(mark, 1, true)
    if from then
      return template:sub(1, from - 1), template:sub(to + 1), name
    end
  end
  return template, '', nil
end

function init(args)
  local template, choose, members, seed = args[1], args[2], tonumber(args[3]), tonumber(args[4])
  local manyHead, manyTail, form, count = manyAt(template)
  if manyHead then
    math.randomseed(seed)
    local plain = plainKeys()
    local pool = {}
    for n = 1, math.max(50, math.floor(preparedKeys / count)) do
      pool[n] = manyHead .. randomKeys(plain, count, form[1], form[2], form[3], members) .. manyTail
    end
    request = function() return pool[math.random(#pool)] end
    return
  end
  local head, tail, name = splitAt(template)
  local plain = plainKeys()
  local makers = { key = plain, key64 = name == 'key64' and base64Keys(), keys = hundredKeys(plain) }
  local make = makers[name]
  math.randomseed(seed)

  if choose == 'one' or not make then
    local only = make and head .. make(1) .. tail or template
    wrk.format = function() return only end
    return
  end
  local random = math.random
  if name == 'keys' then
    local pool = {}
    for n = 1, hundredRequests do
      pool[n] = head .. make(random(0, members - 100)) .. tail
    end
    request = function() return pool[random(hundredRequests)] end
    return
  end
  if tail:find('{number}', 1, true) then
    request = function()
      local numbered = tail:gsub('{number}', string.format('%08d', random(0, 99999999)))
      return head .. make(random(0, members - 1)) .. numbered
    end
    return
  end
  request = function() return head .. make(random(0, members - 1)) .. tail end
end

-- wrk counts an answer as a status error above 399; nothing here answers with a redirect.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d,'
      .. '"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    latency.max,
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
