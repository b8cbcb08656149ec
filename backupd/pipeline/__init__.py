"""How bytes move: backup, restore and verify, over a source, a repository and a pool of worker threads."""
