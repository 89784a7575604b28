"""Opening stores: keys, replicas that take over, what was remembered of them."""
