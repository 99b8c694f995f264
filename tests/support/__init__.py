"""What tests share: a driver for real kernels, leak checks, ordinary users, blocked sandboxes."""
