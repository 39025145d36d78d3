"""Nothing but this file's place: pytest puts the folder on the path, so `synthetic` imports."""
