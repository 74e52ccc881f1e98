"""What is published: pages, and files to take home."""
