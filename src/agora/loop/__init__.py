"""The main job: draw, curate, train, judge, report. It joins the rooms; no room knows another."""
