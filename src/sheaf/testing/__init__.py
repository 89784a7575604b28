"""What others need to test a backend or a program on Sheaf. Nothing but tests imports it."""
