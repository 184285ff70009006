"""What every part of Agora stands on: records, tables, run folders, jobs, statistics and reports."""
