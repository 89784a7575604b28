"""What stores and repos do to much at once: deleting, erasing, finding, pushing, repairing."""
