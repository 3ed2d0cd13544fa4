"""Images: their names, configs and layers; loading, saving and making them. Runs in the engine process."""
