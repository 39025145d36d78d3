"""What an application must give a file, worked out here, and where an application departs."""
