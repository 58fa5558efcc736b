"""How good a run is: draws, certificates, intervals, what known answers say, alarms."""
