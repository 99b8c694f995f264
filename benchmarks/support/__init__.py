"""What the benchmarks share: a kernel to measure in, interleaved runs, a table and a JSON file."""
