-- What late acks and nacks changed of settled messages, each where its row still has the revision that it was judged by;
-- of two for one message the first. Dead letters go with them.
--
-- Rows are looked up and changed as in compare_and_set.sql. A ctid is unique in the partition that the time of settling
-- leads to; that time comes from the lookup, too, for anything else that it is compared with would let an index be read
-- from end to end for it. The lookup opens only partitions from $10 to $11. A row that another transaction has locked is
-- waited for, and left alone if it has changed then; rows come sorted, so that no two batches wait for each other.
--
-- Answers the changes that came about, `ord` counting them from 1.
WITH changed AS (
  UPDATE history h
  SET outcome = n.outcome, level = n.level, level_at = n.level_at, late_nack_code = n.late_nack_code,
      revision = h.revision + 1
  FROM
    (
      SELECT
        unnest($1::integer[]) AS shard, unnest($2::bigint[]) AS room_id, unnest($3::bigint[]) AS sequence,
        unnest($4::bigint[]) AS settled_at, unnest($5::integer[]) AS revision, unnest($6::text[])::outcome AS outcome,
        unnest($7::text[])::ack_level AS level, unnest($8::bigint[]) AS level_at, unnest($9::text[]) AS late_nack_code,
        generate_subscripts($1::integer[], 1) AS ord
    ) AS n,
    LATERAL (
      SELECT l.settled_at, l.ctid FROM history l
      WHERE l.shard = n.shard AND l.room_id = n.room_id AND l.sequence = n.sequence AND l.settled_at = n.settled_at
        AND l.settled_at >= $10 AND l.settled_at <= $11
      LIMIT 1
    ) AS found
  WHERE h.settled_at = found.settled_at AND h.ctid = found.ctid AND h.revision = n.revision
  RETURNING n.ord, h.shard, h.room_id, h.sequence, h.late_nack_code
)
--[ buried
,
buried AS (
  INSERT INTO dead_letters (at, kind, reason, detail, tenant, channel, shard, room_id, sequence, fingerprint)
  SELECT d.at, 'message', d.reason, c.late_nack_code, d.tenant, d.channel, c.shard, c.room_id, c.sequence, d.fingerprint
  FROM
    unnest($12::integer[], $13::bigint[], $14::text[], $15::text[], $16::text[], $17::bytea[])
      AS d (ord, at, reason, tenant, channel, fingerprint),
    changed c
  WHERE c.ord = d.ord
)
--]
SELECT ord FROM changed
