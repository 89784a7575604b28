"""The parts of a check of a store, one for each kind of object. They read, note what is wrong, and go on."""
