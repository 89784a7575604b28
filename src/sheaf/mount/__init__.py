"""Mount bundles as local folders, through FUSE.

``port`` defines the interface of a file system; ``bundles``, ``catalogue`` and ``overlay`` implement it; ``with_pyfuse3``
and ``with_mfusepy`` connect it to the kernel, and nothing else imports those libraries.
"""
