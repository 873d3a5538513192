"""The command line: options -> configuration -> task -> report. Loads torch, lmdb and PIL only inside commands."""
