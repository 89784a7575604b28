"""What surrounds a process and was configured: the only place that reads the environment, the home folder, the terminal."""
