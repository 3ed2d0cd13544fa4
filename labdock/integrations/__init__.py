"""labdock as a part of other projects' programs. Runs in theirs; each module imports what its project brings."""
