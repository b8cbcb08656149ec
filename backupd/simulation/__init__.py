"""Days of the service's life in a second: its real code on a virtual clock, with bad luck drawn from a seed."""
