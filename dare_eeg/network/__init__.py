"""The network: what it is made of, what it minimises, and the numbers that it fixes."""
