"""What stores and repos do to much at once: delete, push, repair, verify, plan an upload."""
