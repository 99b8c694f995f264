"""What nsmagic costs, beside what one would type instead: `python -m benchmarks --help`."""
