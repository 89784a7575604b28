"""Bundles as folders of this machine, through FUSE.

``fuse.port`` says what a file system answers; ``bundles``, ``catalogue`` and ``overlay`` answer it; ``fuse.with_pyfuse3`` and
``fuse.with_mfusepy`` bring it before the kernel, and nothing else imports those libraries.
"""
