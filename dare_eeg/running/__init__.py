"""Running: what training and probing share: the engine, the processes of a job, checkpoints and logs."""
