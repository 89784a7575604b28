"""The documented Python API: Store, Repo, Bundle and what hangs on them. Thin: the rules live in the layers below."""
