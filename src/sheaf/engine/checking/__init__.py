"""The parts of the check: what must be true of each kind of object. :mod:`sheaf.engine.check` goes through them."""
