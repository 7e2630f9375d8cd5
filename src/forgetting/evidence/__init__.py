"""What the runs say: records, claims and their intervals, definitions of forgetting, papers."""
