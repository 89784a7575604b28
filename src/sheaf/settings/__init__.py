"""What surrounds a process and was configured: environment, home folder, terminal and configuration file."""
