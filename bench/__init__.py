"""What is measured, against what: `make bench` runs it all and writes the tables in docs/performance.md."""
