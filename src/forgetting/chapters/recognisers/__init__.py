"""The chapter on recognisers that adapt while they listen."""
