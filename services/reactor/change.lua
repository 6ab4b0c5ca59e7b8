-- Changes a session's settings, if nobody has since they were read.
-- KEYS 1 session. ARGV 1 version read  2... fields and values.
-- Gives the new version, -1 if somebody has, -3 if the session is not known.
local version = redis.call('HGET', KEYS[1], 'version')
if not version then return -3 end
if version ~= ARGV[1] then return -1 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return redis.call('HINCRBY', KEYS[1], 'version', 1)
