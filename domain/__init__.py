"""The ground floor: words, states, money, errors and decisions. Standard library only; no I/O, no clock, no dice."""
