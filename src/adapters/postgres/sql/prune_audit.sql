SELECT prune_audit($1, $2) AS pruned
