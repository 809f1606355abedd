-- Ends the sessions that the session $1 waits for.
SELECT pid, pg_terminate_backend(pid) AS ended FROM unnest(pg_blocking_pids($1)) AS b (pid)
