"""What one project has on one target: keys, packs and manifests."""
