"""What people read: lines for the terminal, a page for the browser."""
