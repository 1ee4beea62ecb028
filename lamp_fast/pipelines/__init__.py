"""What a person calls: from words to motion."""
