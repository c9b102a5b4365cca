"""The servers that are measured beside ours. Each is written as its own documentation has it."""
