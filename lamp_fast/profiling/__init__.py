"""What a call costs: clocks, counters, the peaks of a device, traces and curves."""
