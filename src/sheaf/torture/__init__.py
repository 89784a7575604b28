"""What a store is put through before data is entrusted to it: ``sheaf store torture``, and what its tests share."""
