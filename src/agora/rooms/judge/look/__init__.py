"""Looking at a leaderboard: `data` gathers what the page knows, `texts` packs what there is to read, `page` renders it."""
