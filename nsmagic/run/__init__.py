"""What turns a plan into processes."""
