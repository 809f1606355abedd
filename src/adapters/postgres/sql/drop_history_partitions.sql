SELECT drop_history_partitions($1) AS dropped
