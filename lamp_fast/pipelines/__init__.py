"""What a person calls: from words to motion and back."""
