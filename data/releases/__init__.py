"""What a release is on disk: its description, its checksums, and copies in remote stores."""
