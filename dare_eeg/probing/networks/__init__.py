"""Networks: what goes by epochs, how a step is cut among processes, and how the rate goes."""
