"""Copy folders of this machine into bundles and out of them."""
