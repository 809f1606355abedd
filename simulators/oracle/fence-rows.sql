-- Which workers have been fenced:
--   psql -At -c "SELECT row_to_json(w) FROM ($(cat fence-rows.sql)) w" > fences.ndjson
SELECT worker, fenced FROM fences
