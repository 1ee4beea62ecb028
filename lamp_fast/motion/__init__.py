"""Skeletons, features, rotations, coordinates. Metres, seconds, radians; right-handed, Y up, facing +Z, left = +X."""
