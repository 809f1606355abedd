-- Forgets workers that are fenced, own nothing and have been gone since $1.
WITH gone AS (
  DELETE FROM workers w
  USING fences f
  WHERE f.worker = w.worker AND f.fenced AND w.lease_until < $1
    AND NOT EXISTS (SELECT FROM shards s WHERE s.owner = w.worker OR s.heir = w.worker)
  RETURNING w.worker
)
DELETE FROM fences f USING gone WHERE f.worker = gone.worker
