"""A deployed stack from outside: how its runs stand, what begins and changes them, what they have published."""
