-- Notes that there is a partition, before anything is decided in it. A script and not a command, so that it is as durable as
-- the decisions that follow.
--
-- KEYS[1]   the registry, a sorted set of the names of partitions by when they were last noted
-- ARGV      now (ms), name of the partition, how long the registry is kept without any note (ms)
-- Returns   1 when it was not there before, else 0
-- Again     harmless

local added = redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return added
