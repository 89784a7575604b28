"""Adapters of bundles to training libraries.

    from sheaf.training.pytorch import SheafDataset
    loader = DataLoader(SheafDataset("acme/faces@v1", "train/**", batch=64, shuffle=7), batch_size=None, num_workers=4)

Import the modules directly: each requires its own library, PyTorch or ``datasets``.
"""
