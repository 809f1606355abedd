SELECT membership FROM fleet
