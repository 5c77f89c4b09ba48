"""Lines for the terminal, pages for the browser, Markdown for GitHub."""
