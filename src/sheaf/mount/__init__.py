"""Mount bundles as local folders, through FUSE.

``port`` says what a file system answers; ``bundles``, ``catalogue`` and ``overlay`` answer it; ``with_pyfuse3`` and
``with_mfusepy`` bring it before the kernel, and nothing else imports those libraries.
"""
