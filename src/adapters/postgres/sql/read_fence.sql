SELECT fenced FROM fences WHERE worker = $1
