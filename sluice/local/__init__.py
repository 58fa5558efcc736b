"""The local runner: the synthesized template, the real handlers and the real state machine, on this machine."""
