"""Reports, drawn from the records of a results file alone."""
