"""Write a bundle of a store as a local folder."""
