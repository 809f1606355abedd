DELETE FROM pipeline_parts WHERE worker = $1
