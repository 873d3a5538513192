"""One function per thing a user wants done; it returns or yields results and prints nothing."""
