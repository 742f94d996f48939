"""What is claimed, measured beside what a user would pick instead."""
