"""Training: losses, schedules, steps and the loop; the run directory and its log. Takes batches from any source."""
