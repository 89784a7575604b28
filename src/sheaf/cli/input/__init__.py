"""Input of the command line: options, words, completion."""
