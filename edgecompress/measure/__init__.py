"""What a device says about a file: its latency and memory, and its outputs, scored here."""
