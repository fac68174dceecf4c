"""The parts of bench/side_by_side: servers, loads, rows, and the table of what they measured."""
