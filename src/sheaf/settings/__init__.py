"""The environment and configuration of a process: variables, home folder, terminal and configuration file."""
