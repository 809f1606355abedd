DELETE FROM failures WHERE last_seen < $1
