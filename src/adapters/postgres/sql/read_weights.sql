SELECT name, weight FROM worker_weights ORDER BY name
