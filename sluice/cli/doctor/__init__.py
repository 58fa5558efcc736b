"""`sluice doctor`: whether an account and a deployment can do what runs need, and what to do where they cannot."""
