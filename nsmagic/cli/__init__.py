"""The `nsmagic` command: `main` reads the line, one module for each command does it."""
