"""What is no longer as a plan says: pure comparisons of the plan, of what was seen when it was written, and of what is
there now. `commands.plan_reality` reads the databases; `baseline_file` keeps what was seen."""
