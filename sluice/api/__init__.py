"""What Python programs and the command line call: plan, pilot and run here; submit, watch and read in a deployment."""
