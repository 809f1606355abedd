-- Whether an operator may decide here, and how many workers would not notice.
SELECT
  has_table_privilege('database_decisions', 'INSERT') AND has_column_privilege('settings', 'timeline', 'UPDATE')
    AS may_decide,
  (
    SELECT count(*)::integer FROM workers w JOIN fences f USING (worker)
    WHERE NOT f.fenced AND w.lease_until > clock_timestamp()
  ) AS live_workers
