"""What tests/bench/run is made of: the sides that are compared, how they are measured, the scenarios, the report."""
