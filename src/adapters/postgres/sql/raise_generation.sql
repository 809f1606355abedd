-- Refuses claims that the worker decided under an older generation. Waits for its open batches.
UPDATE fences SET generation = generation + 1 WHERE worker = $1 RETURNING generation
