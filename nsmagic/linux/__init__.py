"""What acts on Linux and knows no policy."""
