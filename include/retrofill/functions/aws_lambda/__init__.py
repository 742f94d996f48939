"""Lambda: the control plane before the calls, and the data plane that makes them."""
