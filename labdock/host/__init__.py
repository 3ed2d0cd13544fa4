"""What this machine allows: probed by trying, frozen into a Plan that every other room receives."""
