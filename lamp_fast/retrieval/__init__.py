"""Folders of motions that can be searched: by words, by a motion, and for the words that fit a motion."""
