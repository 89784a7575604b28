"""What every backend must do, case by case: plain functions of a :class:`~sheaf.torture.trial.Trial`."""
