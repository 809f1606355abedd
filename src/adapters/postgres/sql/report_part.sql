-- What a process holds, over what it told before.
INSERT INTO pipeline_parts AS p (worker, as_of, part) VALUES ($1, $2, $3)
ON CONFLICT (worker) DO UPDATE SET as_of = excluded.as_of, part = excluded.part
