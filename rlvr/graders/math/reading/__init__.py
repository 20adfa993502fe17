"""What stands in the answer's place: from the completion's text to a statement with its values."""
