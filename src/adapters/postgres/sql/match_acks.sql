-- Where platform ids lead that an acceptance has named; `ord` counts those asked for from 1.
SELECT w.ord, p.shard, p.room_id, p.sequence
FROM
  unnest($3::text[]) WITH ORDINALITY AS w (platform_id, ord),
  LATERAL (
    SELECT * FROM platform_ids p
    WHERE p.tenant = $1 AND p.channel = $2 AND p.platform_id = w.platform_id
    LIMIT 1
  ) AS p
WHERE p.room_id IS NOT NULL
