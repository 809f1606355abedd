UPDATE workers w SET draining = true
WHERE w.worker = $1 AND NOT EXISTS (SELECT FROM fences f WHERE f.worker = w.worker AND f.fenced)
