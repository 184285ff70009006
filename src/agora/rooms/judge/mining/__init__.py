"""From conversations to benchmark tasks, step by step; :mod:`agora.rooms.judge.mining.mine` puts the steps in order."""
