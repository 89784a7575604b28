"""Manifests and images for pods: strict schemas, rules, and pods that podman runs."""
