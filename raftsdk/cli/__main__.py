"""`python -m raftsdk.cli`, for where the `raftsdk` script is not on the path."""

from raftsdk.cli import main

main()
