"""How every ZMTP 3.1 connection begins, rfc.zeromq.org/spec/37."""

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x05READY"  # a command frame
