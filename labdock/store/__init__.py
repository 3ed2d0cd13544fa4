"""What is kept on disk: blobs by digest, snapshots, records and leases. Runs in the engine process."""
