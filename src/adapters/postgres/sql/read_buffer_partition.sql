SELECT partition, term, cursor, history FROM buffer_partitions WHERE partition = $1::integer
