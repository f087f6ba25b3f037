"""Weight files: what their headers say and where they lie."""
