-- Fences the worker and frees its shards at one instant. Waits for its open batches.
WITH fenced AS (
  UPDATE fences SET fenced = true WHERE worker = $1 RETURNING worker
),
freed AS (
  UPDATE shards s SET owner = NULL, epoch = s.epoch + 1 FROM fenced WHERE s.owner = fenced.worker
)
SELECT worker FROM fenced
