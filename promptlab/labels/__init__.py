"""From a reply to a label."""
