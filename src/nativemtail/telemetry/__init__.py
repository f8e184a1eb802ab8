"""What nativemtail measures about itself."""
