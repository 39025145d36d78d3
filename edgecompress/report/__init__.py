"""What came of a run: the verdict, and how it is shown. Who shows one thing imports that alone."""
