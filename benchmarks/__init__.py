"""Our speed and coverage beside that of the tools a user would pick instead, measured in one run."""
