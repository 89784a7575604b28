"""Write the files of a download: groups of them in worker processes, large ones as streams."""
