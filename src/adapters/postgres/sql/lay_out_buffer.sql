-- Makes the partitions 0 to $1 - 1 of the buffer where there are none yet. Answers how many there are then.
WITH made AS (
  INSERT INTO buffer_partitions (partition)
  SELECT generate_series(0, $1::integer - 1)
  WHERE NOT EXISTS (SELECT FROM buffer_partitions)
  ON CONFLICT DO NOTHING
  RETURNING 1
)
SELECT ((SELECT count(*) FROM buffer_partitions) + (SELECT count(*) FROM made))::integer AS partitions
