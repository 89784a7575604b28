"""What can be done about damage, each thing only when it is asked for. Nothing here decides by itself to do it."""
