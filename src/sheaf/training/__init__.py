"""Batches of a bundle as the training libraries want them.

    from sheaf.training.pytorch import SheafDataset
    loader = DataLoader(SheafDataset("acme/faces@v1", "train/**", batch=64, shuffle=7), batch_size=None, num_workers=4)

Nothing here is imported unless it is asked for by its module, so PyTorch and ``datasets`` are needed by their users only.
"""
