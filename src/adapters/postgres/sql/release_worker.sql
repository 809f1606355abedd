-- Fences the worker: what it owns is free then. Waits for its open batches.
UPDATE fences SET fenced = true WHERE worker = $1 RETURNING worker
