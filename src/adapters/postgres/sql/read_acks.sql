-- Acks that wait, or waited, for these platform ids; `ord` counts those asked for from 1.
SELECT w.ord, p.platform_id, p.level, p.nack, p.at
FROM
  unnest($3::text[]) WITH ORDINALITY AS w (platform_id, ord),
  LATERAL (
    SELECT * FROM platform_ids p
    WHERE p.tenant = $1 AND p.channel = $2 AND p.platform_id = w.platform_id
    LIMIT 1
  ) AS p
WHERE p.level IS NOT NULL
ORDER BY w.ord
