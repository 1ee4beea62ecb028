"""Writers: BVH, NPZ, animated preview."""
