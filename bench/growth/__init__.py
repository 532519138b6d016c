"""How cost grows: with the log, the state, the groups, the time; and what a kill costs."""
