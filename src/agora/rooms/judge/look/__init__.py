"""Looking at a leaderboard: `data` gathers what its page knows, `texts` packs what there is to read, `page` renders."""
