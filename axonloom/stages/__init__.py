"""The stages of the chain: each reads what the one before wrote, block by block. One stage a file."""
