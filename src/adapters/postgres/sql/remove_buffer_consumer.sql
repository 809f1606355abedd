DELETE FROM buffer_consumers WHERE consumer = $1::text
