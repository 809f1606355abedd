-- Moves the cursor of partition $1 in term $2 from $3 to $4, in the transaction of an append of $5 rooms: where not all
-- of them were locked it inserted nothing, and nothing is moved either.
SELECT move_buffer_cursor($1::integer, $2::bigint, $3::text, $4::text)
WHERE $5::integer = coalesce(array_length(nullif(split_part(current_setting('roomline.locked', true), ' ', 1), '')::bigint[], 1), 0)
