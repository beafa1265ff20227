"""One module per benchmark, named as in `benchmarks.goals.GOALS`; each has an `open_case`. Found by listing."""
