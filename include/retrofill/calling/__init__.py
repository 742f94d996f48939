"""The doors to Lambda: the data plane that makes the calls, and the control plane before them."""
