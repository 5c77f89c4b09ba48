"""From a reply to a label: syntax, never meaning."""
