"""Decoders fed with whatever a fuzzer thinks of: `make fuzz`."""
