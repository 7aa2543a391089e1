"""Sentences with a tag for each token: formats, schemes, vocabularies, word vectors."""
