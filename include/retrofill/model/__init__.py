"""The nouns: values that every other layer speaks of."""
