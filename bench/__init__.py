"""What is measured, against what; results are ratios of one run on one machine."""
