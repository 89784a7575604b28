"""Operations on whole bundles of an open repo: commit a folder, plan that, push, verify, bring a folder up to date."""
