"""From conversations to benchmark tasks, step by step; :mod:`agora.rooms.judge.mine` puts the steps in order."""
